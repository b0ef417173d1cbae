"""The words that a guarded query may consist of, beside names in quotes. Tables; no logic.

What the guard writes has every name in quotes, so a bare word is a keyword, a unit, a type, or a
function before its bracket. SETTINGS, FORMAT, INTO, OUTFILE, VALUES, ATTACH, DICTIONARY … are
none of these: no text of the guard can hold them, whatever its parser took them for.
"""

_KEYWORDS = """
    ALL AND ANTI ANY ARRAY AS ASC ASOF BETWEEN BY CASE CAST CROSS CUBE CURRENT DESC DISTINCT DIV
    ELSE END EXCEPT EXISTS EXTRACT FALSE FILL FINAL FIRST FOLLOWING FROM FULL GLOBAL GROUP GROUPING
    HAVING ILIKE IN INNER INTERSECT INTERVAL IS JOIN LAST LEFT LIKE LIMIT MOD NOT NULL NULLS OFFSET
    ON OR ORDER OUTER OVER PARTITION PRECEDING QUALIFY RANGE RIGHT ROLLUP ROW ROWS SAMPLE SELECT
    SEMI SETS STEP THEN TIES TO TOTALS TRUE UNBOUNDED UNION USING WHEN WHERE WINDOW WITH
    """
KEYWORDS = frozenset(_KEYWORDS.split())
_BEFORE_BRACKET = """
    ALL AND ANY AS BETWEEN BY CASE CAST CUBE DISTINCT DIV ELSE EXCEPT EXISTS EXTRACT FROM HAVING
    ILIKE IN INTERSECT JOIN LIKE LIMIT MOD NOT OFFSET ON OR OVER ROLLUP SELECT SETS STEP THEN TO
    UNION USING WHEN WHERE WITH
    """
BEFORE_BRACKET = frozenset(_BEFORE_BRACKET.split())
"""Keywords that may stand before an opening bracket; of others it would be a call."""
_SPELLED = """
    date_add date_sub dateadd datesub timestamp_add timestamp_sub timestampadd timestampsub trim
    """
SPELLED = frozenset(_SPELLED.split())
"""Functions that ClickHouse's parser spells out, and so are not in its table of functions."""
_UNITS = """
    NANOSECOND MICROSECOND MILLISECOND SECOND MINUTE HOUR DAY WEEK MONTH QUARTER YEAR
    """
UNITS = frozenset(_UNITS.split())
_TYPES = """
    Array Bool Date Date32 DateTime DateTime64 Decimal Decimal128 Decimal256 Decimal32 Decimal64
    Dynamic Enum16 Enum8 FixedString Float32 Float64 IPv4 IPv6 Int128 Int16 Int256 Int32 Int64
    Int8 JSON LowCardinality Map Nothing Nullable String Tuple UInt128 UInt16 UInt256 UInt32 UInt64
    UInt8 UUID Variant
    """
TYPES = frozenset(_TYPES.split())
