"""What a live database lets through: rules as queries of its catalogs. Nothing is imported here."""
