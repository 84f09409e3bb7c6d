"""Models that differ in their convolution alone: same features, same readout, on torch_geometric."""
