"""Importers: read the recordings of other tools as HTTP cassettes, with one module for each format."""
