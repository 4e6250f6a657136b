"""Many thunks: awaited together, sampled and chosen from, checked while they stream."""
