// Walks over the vectors of a contiguous stretch, for kernels that stream over memory.
#pragma once

#include "armillary.hpp"

namespace {

constexpr int64_t SMALL = 1 << 15;  // elements below which a second thread costs more than it saves

inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

// Calls body(index, read, write) for each vector from `first` to `last`; the last one may be shorter.
template <class Body>
inline void for_vectors(int64_t first, int64_t last, Body body) {
  int64_t i = first;
  for (; i + WIDTH <= last; i += WIDTH)
    body(i, [](const float* p) { return load(p); }, [](float* p, vec v) { store(p, v); });
  if (const int64_t rest = last - i; rest > 0)
    body(
        i, [rest](const float* p) { return load_part(p, rest); },
        [rest](float* p, vec v) { store_part(p, v, rest); }
    );
}

}  // namespace
