"""Prices of models, and the dated price list that ships with mellite."""
