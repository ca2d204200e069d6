// Elementary functions of vectors of floats, to one or two units in the last place.
// Included inside kernels.inl only, after vec.h.

namespace protein_lm {
namespace ISA {

INLINE Vec sqrt(Vec x) {
#if defined(ISA_AVX512)
  return reinterpret_cast<Vec>(_mm512_maskz_sqrt_ps(0xffff, reinterpret_cast<__m512>(x)));
#else
  for (size_t i = 0; i < LANES; i++) x[i] = std::sqrt(x[i]);
  return x;
#endif
}

// e^x; zero below the smallest normal number, infinity above the largest. NaN stays NaN.
INLINE Vec exp(Vec x) {
  const Vec clamped = min(max(x, broadcast(-87.33654f)), broadcast(88.72283f));
  // n = x / ln 2 rounded to the nearest by adding 1.5 * 2^23, whose low bits then hold n.
  const Vec shifted = clamped * 1.44269504f + 12582912.0f;
  const Vec n = shifted - 12582912.0f;
  const Vec r = (clamped - n * 0.693359375f) + n * 2.12194440e-4f;
  // The polynomial of Cephes' expf.
  Vec p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  // 2^n in two steps, as n = 128 is no exponent.
  const IVec exponent = reinterpret_cast<IVec>(shifted) - 0x4b400000;
  const IVec half = exponent >> 1;
  const Vec first = reinterpret_cast<Vec>((half + 127) << 23);
  const Vec second = reinterpret_cast<Vec>((exponent - half + 127) << 23);
  Vec y = p * first * second;
  y = select(x < broadcast(-87.33654f), zero(), y);
  y = select(x > broadcast(88.72283f), broadcast(std::numeric_limits<float>::infinity()), y);
  return select(x != x, x, y);
}

// Two polynomials that meet at 0.93: near zero in x², further out the logarithm of 1 - erf (after N. Juffa).
INLINE Vec erf(Vec x) {
  const Vec t = abs(x), s = x * x;
  Vec far = t * -1.72853470e-5f + 3.83197126e-4f;
  far = far * s + (t * -3.88396438e-3f + 2.42546219e-2f);
  far = far * t - 1.06777877e-1f;
  far = far * t - 6.34846687e-1f;
  far = far * t - 1.28717512e-1f;
  far = far * t - t;
  far = 1.0f - exp(far);
  const IVec sign = reinterpret_cast<IVec>(x) & broadcast_int(INT32_MIN);
  far = reinterpret_cast<Vec>(reinterpret_cast<IVec>(far) | sign);
  Vec near = s * -5.96761703e-4f + 4.99119423e-3f;
  near = near * s - 2.67681349e-2f;
  near = near * s + 1.12819925e-1f;
  near = near * s - 3.76125336e-1f;
  near = near * s + 1.28379166e-1f;
  near = near * x + x;
  return select(t > broadcast(0.927734375f), far, near);
}

// Φ(x) = (1 + erf(x / √2)) / 2 with a rational erf (Eigen's), within 2e-7; exactly 0 and 1 from |x| = 5.42 on. Half the
// work of erf, and in gelu no less exact.
INLINE Vec normal_cdf(Vec x) {
  const Vec z = max(min(x * 0.70710678f, broadcast(3.832506856900711f)), broadcast(-3.832506856900711f)), s = z * z;
  Vec p = s * 0.00022905065861350646f + 0.0034082910107109506f;
  p = p * s + 0.050955695062380861f;
  p = p * s + 0.18520832239976145f;
  p = p * s + 1.128379143519084f;
  Vec q = s * -1.1791602954361697e-7f + 0.000023547966471313185f;
  q = q * s + 0.0010179625278914885f;
  q = q * s + 0.014070470171167667f;
  q = q * s + 0.11098505178285362f;
  q = q * s + 0.49746925110067538f;
  q = q * s + 1.0f;
  return 0.5f * (z * p / q) + 0.5f;
}

// x Φ(x), and its derivative Φ(x) + x φ(x).
INLINE Vec gelu(Vec x) { return x * normal_cdf(x); }
INLINE Vec gelu_derivative(Vec x) { return normal_cdf(x) + x * 0.39894228f * exp(-0.5f * x * x); }

}  // namespace ISA
}  // namespace protein_lm
