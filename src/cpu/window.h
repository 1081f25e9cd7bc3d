// Windows over tensors, as convolution.h and the kernels of each build share them: plain data, laid out alike everywhere.
// There are always three axes; those that a tensor lacks come first and have one element. Strides of memory are in elements.
#pragma once

#include <cstdint>

namespace dvm::cpu {

inline constexpr int kWindowAxes = 3;

/// What is made of the elements of a window.
enum class WindowFold : std::uint8_t { kWeighted, kSum, kMax };

struct Window {
  // Elements of the operand and of the result, and of a window.
  std::int64_t size[kWindowAxes] = {1, 1, 1};
  std::int64_t out[kWindowAxes] = {1, 1, 1};
  std::int64_t taps[kWindowAxes] = {1, 1, 1};
  // Tap t of the window at place o reads element o * stride - before + t * dilation, 0 beyond the ends. Transposed it reads
  // the element i with i * stride - before + t * dilation == o, or 0 if there is none.
  std::int64_t stride[kWindowAxes] = {1, 1, 1};
  std::int64_t before[kWindowAxes] = {};
  std::int64_t dilation[kWindowAxes] = {1, 1, 1};
  bool transposed = false;

  std::int64_t all_taps() const { return taps[0] * taps[1] * taps[2]; }
};

/// Columns of a panel: two vectors of AVX-512, a multiple of all others.
inline constexpr std::int64_t kPanelCols = 32;

/// What windows at places that follow each other read, as the right operand of a product.
struct WindowPanel {
  const Window* window = nullptr;
  const float* from = nullptr;  // the first element of the first channel
  std::int64_t channel = 0, channels = 0;
  std::int64_t move[kWindowAxes] = {};
  std::int64_t place[kWindowAxes] = {};  // of the first column
  std::int64_t cols = 0;                 // how many there are; the rest of a row is 0
  float* to = nullptr;                   // [channels][taps][kPanelCols]
};

/// One channel with one window, as in a depthwise convolution or a pool, over the last two axes.
struct WindowPlane {
  const Window* window = nullptr;
  const float* from = nullptr;
  std::int64_t move[kWindowAxes] = {};
  WindowFold fold = WindowFold::kWeighted;
  const float* weight = nullptr;      // [taps][taps], if it is weighted
  std::int64_t first = 0, lines = 0;  // of the result
  float* to = nullptr;                // a line right behind the other
  bool adds = false;                  // to what is there, or joins it
  float* room = nullptr;              // floats(): lines of the operand with zeros around them

  /// Floats of room for so many lines.
  static std::int64_t floats(const Window& window, std::int64_t lines) {
    return operand_lines(window, lines) * window.stride[2] * phase(window);
  }
  static std::int64_t operand_lines(const Window& window, std::int64_t lines) {
    return (lines - 1) * window.stride[1] + (window.taps[1] - 1) * window.dilation[1] + 1;
  }
  /// A line of the operand is kept as `stride` lines, each of every stride-th element, so that windows side by side read
  /// elements side by side. This is how long they are, with room for the last vector.
  static std::int64_t phase(const Window& window) {
    return window.out[2] + (window.taps[2] - 1) * window.dilation[2] / window.stride[2] + 1 +
           kPanelCols;
  }
};

}  // namespace dvm::cpu
