// Owner of the precompiled header pch_plain.h.
