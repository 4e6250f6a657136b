"""Recording: a transport that hands on what arrives, and stores it as it comes."""
