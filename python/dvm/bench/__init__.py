"""The benchmarks behind `dvm bench` and `dvm demo`; they need torch, and are imported only there."""
