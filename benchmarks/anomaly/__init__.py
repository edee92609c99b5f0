"""How well the streaming detector finds what people marked: the Numenta Anomaly Benchmark's rules."""
