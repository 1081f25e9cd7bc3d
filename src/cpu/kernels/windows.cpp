// The loops of convolutions around their products: panels of what windows read, and windows over one channel.
#include <algorithm>
#include <cstdint>
#include <limits>

#include "cpu/kernels/install.h"
#include "cpu/kernels/lanes.h"
#include "cpu/kernels/operands.h"
#include "cpu/window.h"

namespace dvm::cpu {
namespace {

constexpr int kVector = matmul::kWidth<float>;

// The first `count` elements.
inline __attribute__((always_inline)) void store_some(float* to, std::int64_t count,
                                                      const matmul::Vector<float>& vector) {
#if DVM_VECTOR_BYTES == 64
  store_some_lanes(to, count, vector);
#else
  __builtin_memcpy(to, &vector, static_cast<std::size_t>(count) * sizeof(float));
#endif
}

#if DVM_VECTOR_BYTES == 64
// Every second element.
inline __attribute__((always_inline)) void copy_pairs(float* to, const float* from,
                                                      std::int64_t count) {
  const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  for (; count > 0; count -= kVector, to += kVector, from += 2 * kVector) {
    // No element beyond the last is touched.
    const std::int64_t there = std::min<std::int64_t>(count, kVector), reach = 2 * there - 1;
    const auto low = matmul::load_some(from, std::min<std::int64_t>(reach, kVector));
    const auto high = matmul::load_some(from + kVector, std::max<std::int64_t>(reach - kVector, 0));
    const __m512 picked =
        _mm512_permutex2var_ps(reinterpret_cast<__m512>(low), even, reinterpret_cast<__m512>(high));
    store_some(to, there, reinterpret_cast<matmul::Vector<float>>(picked));
  }
}
#endif

inline __attribute__((always_inline)) void copy(float* __restrict to, std::int64_t to_step,
                                                const float* __restrict from,
                                                std::int64_t from_step, std::int64_t count) {
  if (to_step == 1 && from_step == 1) {
    std::int64_t i = 0;
    for (; i + kVector <= count; i += kVector) store_some(to + i, kVector, matmul::load(from + i));
    if (i < count) store_some(to + i, count - i, matmul::load_some(from + i, count - i));
    return;
  }
#if DVM_VECTOR_BYTES == 64
  if (to_step == 1 && from_step == 2) return copy_pairs(to, from, count);
#endif
  for (std::int64_t i = 0; i < count; ++i) to[i * to_step] = from[i * from_step];
}

// Elements of a line, `count` of them.
struct Run {
  std::int64_t to, from, count;
};

// Of the places [first, first + count) of an axis those at which tap `tap` reads an element: from `to` on, `step` apart, the
// elements from `from` on.
struct Hits {
  std::int64_t to = 0, from = 0, count = 0;
};

std::int64_t divide_up(std::int64_t a, std::int64_t b) {
  return a <= 0 ? -(-a / b) : (a - 1) / b + 1;
}
std::int64_t divide_down(std::int64_t a, std::int64_t b) { return -divide_up(-a, b); }

Hits hits(const Window& w, int axis, std::int64_t tap, std::int64_t first, std::int64_t count) {
  const std::int64_t stride = w.stride[axis], size = w.size[axis];
  const std::int64_t shift = tap * w.dilation[axis] - w.before[axis];
  if (w.transposed) {  // o == i * stride + shift
    const std::int64_t low = std::max<std::int64_t>(divide_up(first - shift, stride), 0);
    const std::int64_t high = std::min(divide_down(first + count - 1 - shift, stride), size - 1);
    if (low > high) return {};
    return {low * stride + shift - first, low, high - low + 1};
  }
  const std::int64_t low = std::max(divide_up(-shift, stride), first);
  const std::int64_t high = std::min(divide_down(size - 1 - shift, stride), first + count - 1);
  if (low > high) return {};
  return {low - first, low * stride + shift, high - low + 1};
}

// The columns of a panel in lines: places that differ along the last axis only.
struct Line {
  std::int64_t place[kWindowAxes], col, cols;
};

int lines_of(const WindowPanel& p, Line* lines) {
  const Window& w = *p.window;
  int count = 0;
  std::int64_t place[kWindowAxes] = {p.place[0], p.place[1], p.place[2]};
  for (std::int64_t col = 0; col < p.cols;) {
    const std::int64_t cols = std::min(p.cols - col, w.out[2] - place[2]);
    lines[count++] = {{place[0], place[1], place[2]}, col, cols};
    col += cols;
    place[2] = 0;
    if (++place[1] == w.out[1]) place[1] = 0, ++place[0];
  }
  return count;
}

// What tap (t0, t1, t2) reads in each line of columns.
int runs_of(const WindowPanel& p, const Line* lines, int count, std::int64_t t0, std::int64_t t1,
            std::int64_t t2, Run* runs) {
  const Window& w = *p.window;
  const bool joins = !w.transposed && w.stride[2] * p.move[2] == 1;
  int found = 0;
  for (int i = 0; i < count; ++i) {
    const Line& line = lines[i];
    const Hits a = hits(w, 0, t0, line.place[0], 1), b = hits(w, 1, t1, line.place[1], 1);
    if (a.count == 0 || b.count == 0) continue;
    const Hits c = hits(w, 2, t2, line.place[2], line.cols);
    if (c.count == 0) continue;
    const Run run{line.col + c.to, a.from * p.move[0] + b.from * p.move[1] + c.from * p.move[2],
                  c.count};
    Run* const last = joins && found > 0 ? &runs[found - 1] : nullptr;
    if (last != nullptr && last->to + last->count == run.to &&
        last->from + last->count == run.from) {
      last->count += run.count;
    } else {
      runs[found++] = run;
    }
  }
  return found;
}

void panel(const WindowPanel& p) {
  const Window& w = *p.window;
  Line lines[kPanelCols];
  const int line_count = lines_of(p, lines);
  const std::int64_t row = w.all_taps() * kPanelCols;  // from one channel to the next
  const std::int64_t to_step = w.transposed ? w.stride[2] : 1;
  const std::int64_t from_step = w.transposed ? p.move[2] : w.stride[2] * p.move[2];
  float* to = p.to;
  for (std::int64_t t0 = 0; t0 < w.taps[0]; ++t0) {
    for (std::int64_t t1 = 0; t1 < w.taps[1]; ++t1) {
      for (std::int64_t t2 = 0; t2 < w.taps[2]; ++t2, to += kPanelCols) {
        Run runs[kPanelCols];
        const int run_count = runs_of(p, lines, line_count, t0, t1, t2, runs);
        std::int64_t covered = 0;
        for (int i = 0; i < run_count; ++i) covered += runs[i].count;
        if (run_count == 1 && covered == kPanelCols && from_step == 1 && to_step == 1) {
          const float* from = p.from + runs[0].from;
          float* at = to;
          for (std::int64_t c = 0; c < p.channels; ++c, from += p.channel, at += row) {
            for (int v = 0; v < kPanelCols; v += kVector)
              *reinterpret_cast<matmul::Vector<float>*>(at + v) = matmul::load(from + v);
          }
          continue;
        }
        const float* from = p.from;
        float* at = to;
        for (std::int64_t c = 0; c < p.channels; ++c, from += p.channel, at += row) {
          if (covered < kPanelCols) std::fill(at, at + kPanelCols, 0.0f);
          for (int i = 0; i < run_count; ++i)
            copy(at + runs[i].to, to_step, from + runs[i].from, from_step, runs[i].count);
        }
      }
    }
  }
}

// What a fold begins with, and finds beyond the ends.
float nothing(WindowFold fold) {
  return fold == WindowFold::kMax ? -std::numeric_limits<float>::infinity() : 0.0f;
}

// The lines of the operand that a WindowPlane reads, in phases, with nothing around them.
void fill_room(const WindowPlane& p) {
  const Window& w = *p.window;
  const float around = nothing(p.fold);
  const std::int64_t phase = WindowPlane::phase(w), stride = w.stride[2];
  const std::int64_t lines = WindowPlane::operand_lines(w, p.lines);
  const std::int64_t above = p.first * w.stride[1] - w.before[1];
  float* to = p.room;
  for (std::int64_t i = 0; i < lines; ++i) {
    const std::int64_t line = above + i;
    if (line < 0 || line >= w.size[1]) {
      std::fill(to, to + stride * phase, around);
      to += stride * phase;
      continue;
    }
    const float* const from = p.from + line * p.move[1];
    for (std::int64_t s = 0; s < stride; ++s, to += phase) {
      // Element j of the phase is element j * stride + s - before of the line.
      const std::int64_t begin =
          std::clamp<std::int64_t>(divide_up(w.before[2] - s, stride), 0, phase);
      const std::int64_t end =
          std::clamp<std::int64_t>(divide_up(w.size[2] + w.before[2] - s, stride), begin, phase);
      std::fill(to, to + begin, around);
      copy(to + begin, 1, from + (begin * stride + s - w.before[2]) * p.move[2], stride * p.move[2],
           end - begin);
      std::fill(to + end, to + phase, around);
    }
  }
}

// One NaN makes the result NaN.
inline __attribute__((always_inline)) matmul::Vector<float> larger(const matmul::Vector<float>& a,
                                                                   const matmul::Vector<float>& b) {
  return (a > b) | (a != a) ? a : b;
}

// Some taps of each line of a window: where in a line of the room they are.
struct Taps {
  static constexpr int kMost = 64;
  std::int64_t first, count;
  std::int64_t offsets[kMost];
};

template <WindowFold kFold, int kLines>
void plane_lines(const WindowPlane& p, std::int64_t line, const Taps& taps) {
  const Window& w = *p.window;
  const std::int64_t length = w.stride[2] * WindowPlane::phase(w), width = w.out[2];
  const float* const room = p.room + line * w.stride[1] * length;
  float* const to = p.to + line * width;
  for (std::int64_t x = 0; x < width; x += kVector) {
    matmul::Vector<float> sums[kLines];
    for (int l = 0; l < kLines; ++l) sums[l] = nothing(kFold) - matmul::Vector<float>{};
    for (std::int64_t i = 0; i < w.taps[1]; ++i) {
      const float* const from = room + i * w.dilation[1] * length + x;
      const float* const weight =
          kFold == WindowFold::kWeighted ? p.weight + i * w.taps[2] + taps.first : nullptr;
      for (std::int64_t j = 0; j < taps.count; ++j) {
        for (int l = 0; l < kLines; ++l) {
          const auto here = matmul::load(from + l * w.stride[1] * length + taps.offsets[j]);
          if constexpr (kFold == WindowFold::kWeighted) {
            sums[l] =
                matmul::multiply_add<float>(weight[j] - matmul::Vector<float>{}, here, sums[l]);
          } else if constexpr (kFold == WindowFold::kSum) {
            sums[l] += here;
          } else {
            sums[l] = larger(here, sums[l]);
          }
        }
      }
    }
    const std::int64_t count = std::min<std::int64_t>(kVector, width - x);
    for (int l = 0; l < kLines; ++l) {
      float* const at = to + l * width + x;
      if (p.adds || taps.first > 0) {
        const auto before = matmul::load_some(at, count);
        sums[l] = kFold == WindowFold::kMax ? larger(before, sums[l]) : sums[l] + before;
      }
      store_some(at, count, sums[l]);
    }
  }
}

template <WindowFold kFold>
void all_lines(const WindowPlane& p) {
  const Window& w = *p.window;
  Taps taps = {};
  for (; taps.first < w.taps[2]; taps.first += Taps::kMost) {
    taps.count = std::min<std::int64_t>(Taps::kMost, w.taps[2] - taps.first);
    for (std::int64_t j = 0; j < taps.count; ++j) {
      const std::int64_t col = (taps.first + j) * w.dilation[2];
      taps.offsets[j] = col % w.stride[2] * WindowPlane::phase(w) + col / w.stride[2];
    }
    std::int64_t line = 0;
    for (; line + 4 <= p.lines; line += 4) plane_lines<kFold, 4>(p, line, taps);
    for (; line < p.lines; ++line) plane_lines<kFold, 1>(p, line, taps);
  }
}

void plane(const WindowPlane& p) {
  fill_room(p);
  switch (p.fold) {
    case WindowFold::kWeighted:
      return all_lines<WindowFold::kWeighted>(p);
    case WindowFold::kSum:
      return all_lines<WindowFold::kSum>(p);
    case WindowFold::kMax:
      return all_lines<WindowFold::kMax>(p);
  }
}

}  // namespace

void install_windows(KernelTable& table) {
  table.windows.panel = panel;
  table.windows.plane = plane;
}

}  // namespace dvm::cpu
