"""What is run in a checkout: the demo, the checks, virtual hardware, benchmarks and proofs."""
