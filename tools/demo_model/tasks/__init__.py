"""Generators of synthetic exchanges, one module a skill."""
