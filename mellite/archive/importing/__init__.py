"""What other tools have recorded, read as HTTP cassettes: one module for each of their formats."""
