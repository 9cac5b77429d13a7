// What the library tells of itself, compiled once for the plainest processor.
#include <cstdint>

#define ARMILLARY_PLAIN extern "C" __attribute__((visibility("default")))

ARMILLARY_PLAIN int armillary_interface() { return 1; }

// The best instruction set that both the library and this processor have: 0 generic, 1 avx2, 2 avx512.
ARMILLARY_PLAIN int armillary_cpu_level() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma"))
    return 2;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return 1;
#endif
  return 0;
}
