"""What a call costs: prices of models, and the dated price list that ships with mellite."""
