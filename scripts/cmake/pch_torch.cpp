// Owner of the precompiled header pch_torch.h.
