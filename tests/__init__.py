"""The tests of mellite: a package, so that they share code as `tests.something`."""
