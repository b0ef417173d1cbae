"""Finds secrets where none may be: code, manifests, images, Git's history (SECURITY-MODEL §8)."""
