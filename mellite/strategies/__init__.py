"""Many thunks: awaited together, sampled, checked while they stream, chosen among."""
