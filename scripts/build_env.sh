# Sourced by the scripts that build. Objects do not depend on where the clone lies (debug paths do), so another clone hits the cache.
export CCACHE_NOHASHDIR=1 CCACHE_BASEDIR=$PWD
# libtorch's headers come out of a wheel: their times change with every installation, their content does not.
export CCACHE_SLOPPINESS=include_file_mtime,include_file_ctime,pch_defines,time_macros
