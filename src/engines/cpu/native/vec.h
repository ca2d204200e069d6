// Vectors of floats in the width of the instruction set being compiled, on the compiler's vector types: + - * / and
// comparisons work elementwise, and a * b + c becomes one fused multiply-add where the processor has it.
// Included inside kernels.inl only.

namespace protein_lm {
namespace ISA {

#define INLINE inline __attribute__((always_inline))

typedef float Vec __attribute__((vector_size(VECTOR_BYTES)));
typedef int32_t IVec __attribute__((vector_size(VECTOR_BYTES)));
typedef uint32_t UVec __attribute__((vector_size(VECTOR_BYTES)));
typedef float UnalignedVec __attribute__((vector_size(VECTOR_BYTES), aligned(4), may_alias));

constexpr size_t LANES = VECTOR_BYTES / sizeof(float);

INLINE Vec load(const float* p) { return *reinterpret_cast<const UnalignedVec*>(p); }
INLINE void store(float* p, Vec v) { *reinterpret_cast<UnalignedVec*>(p) = v; }
INLINE Vec broadcast(float x) { return x - Vec{}; }
INLINE IVec broadcast_int(int32_t x) { return x - IVec{}; }
INLINE Vec zero() { return Vec{}; }

// The first n lanes (n <= LANES) of memory; the others read as zero and stay unwritten.
INLINE Vec load_partial(const float* p, size_t n) {
#if defined(ISA_AVX512)
  return reinterpret_cast<Vec>(_mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1), p));
#else
  Vec v = zero();
  for (size_t i = 0; i < n; i++) v[i] = p[i];
  return v;
#endif
}
INLINE void store_partial(float* p, Vec v, size_t n) {
#if defined(ISA_AVX512)
  _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1), reinterpret_cast<__m512>(v));
#else
  for (size_t i = 0; i < n; i++) p[i] = v[i];
#endif
}

// mask ? a : b, lane by lane; a mask is what a comparison of two Vec gives.
INLINE Vec select(IVec mask, Vec a, Vec b) {
  return reinterpret_cast<Vec>((mask & reinterpret_cast<IVec>(a)) | (~mask & reinterpret_cast<IVec>(b)));
}
INLINE Vec max(Vec a, Vec b) { return a > b ? a : b; }
INLINE Vec min(Vec a, Vec b) { return a < b ? a : b; }
INLINE Vec abs(Vec a) { return reinterpret_cast<Vec>(reinterpret_cast<IVec>(a) & 0x7fffffff); }

// Sum, maximum of all lanes, always in the same order: halves folded onto each other.
INLINE float sum(Vec v) {
  float lanes[LANES];
  std::memcpy(lanes, &v, sizeof v);
  for (size_t half = LANES / 2; half > 0; half /= 2)
    for (size_t i = 0; i < half; i++) lanes[i] += lanes[i + half];
  return lanes[0];
}
INLINE float max_lane(Vec v) {
  float lanes[LANES];
  std::memcpy(lanes, &v, sizeof v);
  for (size_t half = LANES / 2; half > 0; half /= 2)
    for (size_t i = 0; i < half; i++) lanes[i] = lanes[i] > lanes[i + half] ? lanes[i] : lanes[i + half];
  return lanes[0];
}

}  // namespace ISA
}  // namespace protein_lm
