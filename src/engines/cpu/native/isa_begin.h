// What a kernels_*.cc includes first: everything kernels use from the standard library comes before the target is
// switched, so that the linker can never pick a library function compiled for a newer processor for everybody.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

#include "arrays.h"
#include "gemm.h"
#include "identity.h"
#include "isa.h"
#include "kernels.h"
#include "scratch.h"
#include "thread_pool.h"

#ifdef PROTEIN_LM_X86
#include <immintrin.h>
#endif
