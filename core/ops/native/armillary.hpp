// What every native kernel stands on: float vectors of the level's width, and the elementary functions they need.
//
// A kernel's source is compiled once for each instruction set (ARMILLARY_LEVEL = generic, avx2, avx512) and exports
// plain C functions whose names end in the level. No header of torch or Python is used, so one library serves them all.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

#define ARMILLARY_JOIN2(name, level) name##_##level
#define ARMILLARY_JOIN(name, level) ARMILLARY_JOIN2(name, level)
#define ARMILLARY_EXPORT(result, name) \
  extern "C" __attribute__((visibility("default"))) result ARMILLARY_JOIN(name, ARMILLARY_LEVEL)

// Everything else has internal linkage: the same inline function compiled for two levels must never be merged.
namespace {

#if defined(__AVX512F__)
constexpr int WIDTH = 16;
#elif defined(__AVX2__)
constexpr int WIDTH = 8;
#else
constexpr int WIDTH = 4;
#endif

typedef float vec __attribute__((vector_size(WIDTH * sizeof(float))));
typedef int32_t ivec __attribute__((vector_size(WIDTH * sizeof(int32_t))));

inline vec load(const float* p) {
  vec v;
  std::memcpy(&v, p, sizeof(vec));
  return v;
}

inline void store(float* p, vec v) { std::memcpy(p, &v, sizeof(vec)); }

// The first n lanes; the others are zero.
inline vec load_part(const float* p, int64_t n) {
  if (n >= WIDTH) return load(p);
  vec v = {};
  if (n > 0) std::memcpy(&v, p, static_cast<size_t>(n) * sizeof(float));
  return v;
}

inline void store_part(float* p, vec v, int64_t n) {
  if (n >= WIDTH)
    store(p, v);
  else if (n > 0)
    std::memcpy(p, &v, static_cast<size_t>(n) * sizeof(float));
}

inline vec splat(float x) { return x - vec{}; }

inline float sum(vec v) {
#if defined(__AVX512F__)
  return _mm512_reduce_add_ps(reinterpret_cast<__m512>(v));
#else
  float total = 0;
  for (int i = 0; i < WIDTH; ++i) total += v[i];
  return total;
#endif
}

inline vec select(ivec condition, vec yes, vec no) { return condition ? yes : no; }
inline vec maximum(vec a, vec b) { return a > b ? a : b; }
inline vec minimum(vec a, vec b) { return a < b ? a : b; }
inline vec absolute(vec v) { return reinterpret_cast<vec>(reinterpret_cast<ivec>(v) & 0x7fffffff); }

inline vec fused(vec a, vec b, vec c) {
#if defined(__AVX512F__)
  return reinterpret_cast<vec>(_mm512_fmadd_ps(reinterpret_cast<__m512>(a), reinterpret_cast<__m512>(b), reinterpret_cast<__m512>(c)));
#elif defined(__AVX2__)
  return reinterpret_cast<vec>(_mm256_fmadd_ps(reinterpret_cast<__m256>(a), reinterpret_cast<__m256>(b), reinterpret_cast<__m256>(c)));
#else
  return a * b + c;
#endif
}

inline vec power_of_two(ivec n) { return reinterpret_cast<vec>((n + 127) << 23); }

// exp to about one unit in the last place. exp(x) = 2^n exp(r) with |r| <= ln(2) / 2, ln(2) split in two so that r
// is exact; exp(r) by its Taylor series to degree 7, whose remainder is below 6e-9. Overflows to infinity, underflows
// through subnormals to zero; NaN stays NaN.
inline vec exp(vec x) {
  const float magic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  vec clamped = x > 90.0f ? splat(90.0f) : x;
  clamped = clamped < -105.0f ? splat(-105.0f) : clamped;  // comparisons with NaN are false, so NaN passes
  const vec shifted = fused(clamped, splat(1.44269504088896341f), splat(magic));
  const vec n = shifted - magic;
  vec r = fused(n, splat(-0.693145751953125f), clamped);
  r = fused(n, splat(-1.42860682030941723e-6f), r);
  vec p = splat(1.0f / 5040);
  p = fused(p, r, splat(1.0f / 720));
  p = fused(p, r, splat(1.0f / 120));
  p = fused(p, r, splat(1.0f / 24));
  p = fused(p, r, splat(1.0f / 6));
  p = fused(p, r, splat(0.5f));
  p = fused(p * r, r, r) + 1.0f;
  // The integer stands in the low bits of the sum. Two factors, since 2^n alone may lie outside the normal range.
  const ivec whole = reinterpret_cast<ivec>(shifted) - reinterpret_cast<ivec>(splat(magic));
  const ivec half = whole >> 1;
  return p * power_of_two(half) * power_of_two(whole - half);
}

inline vec sigmoid(vec x) { return 1.0f / (1.0f + exp(-x)); }

inline float exp1(float x) { return exp(splat(x))[0]; }
inline float sigmoid1(float x) { return sigmoid(splat(x))[0]; }

}  // namespace
