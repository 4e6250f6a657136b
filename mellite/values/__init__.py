"""What is asked, what comes back, what it costs and how text is cut: plain values, without a clock or I/O."""
