// Convolutions and pools in memory that ends where they end: for the sanitizers, on every build of the kernels that this CPU
// runs. Shapes and layouts at large are tests/runtime's.
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "check.h"
#include "every_isa.h"
#include "graph/windows.h"
#include "runtime/convolution_plan.h"

namespace dvm {
namespace {

using Sizes = std::vector<std::int64_t>;

struct Moves {
  int stride = 1, padding = 0, dilation = 1;
};

Windows windows_of(const Moves& moves, int taps, int groups) {
  Windows windows;
  windows.groups = groups;
  for (int axis = 0; axis < 2; ++axis) {
    windows.stride.push_back(moves.stride);
    windows.before.push_back(moves.padding);
    windows.after.push_back(moves.padding);
    windows.dilation.push_back(moves.dilation);
    windows.taps.push_back(taps);
  }
  return windows;
}

std::int64_t places(std::int64_t size, std::int64_t taps, const Moves& moves) {
  return (size + 2 * moves.padding - (taps - 1) * moves.dilation - 1) / moves.stride + 1;
}

void run(const cpu::Tiled& tiled, std::vector<void*> arguments) {
  tiled.run({arguments.data(), nullptr}, 0, tiled.blocks());
}

// Calls see(tap, element of the image) for what the window at place (i, j) reads.
template <class See>
void each_read(std::int64_t i, std::int64_t j, std::int64_t height, std::int64_t width,
               std::int64_t taps, const Moves& moves, See see) {
  for (std::int64_t u = 0; u < taps; ++u) {
    for (std::int64_t v = 0; v < taps; ++v) {
      const std::int64_t y = i * moves.stride - moves.padding + u * moves.dilation;
      const std::int64_t x = j * moves.stride - moves.padding + v * moves.dilation;
      if (y < 0 || y >= height || x < 0 || x >= width) continue;
      see(u * taps + v, y * width + x);
    }
  }
}

// Two images of `groups` x `inputs` channels, to `groups` x `outputs`.
void check_convolution(int groups, std::int64_t inputs, std::int64_t outputs, std::int64_t height,
                       std::int64_t width, std::int64_t taps, const Moves& moves) {
  const std::int64_t images = 2, channels = groups * inputs, made = groups * outputs;
  const std::int64_t rows = places(height, taps, moves), cols = places(width, taps, moves);
  const std::int64_t plane = height * width, result_plane = rows * cols;
  std::vector<float> x = random_floats(images * channels * plane);
  std::vector<float> weight = random_floats(made * inputs * taps * taps);
  std::vector<float> result(static_cast<std::size_t>(images * made * result_plane));
  const Windows windows = windows_of(moves, static_cast<int>(taps), groups);
  const Sizes of_result = {images, made, rows, cols};
  ConvolutionPlan plan(windows, of_result, dense(Sizes{images, channels, height, width}, 4),
                       weight_by_groups(dense(Sizes{made, inputs, taps, taps}, 4), windows));
  run(*plan.write(dense(of_result, 4)), {x.data(), weight.data(), result.data()});
  for (std::int64_t n = 0; n < images * made; ++n) {
    const std::int64_t image = n / made, output = n % made, group = output / outputs;
    for (std::int64_t at = 0; at < result_plane; ++at) {
      double wanted = 0;
      for (std::int64_t c = 0; c < inputs; ++c) {
        const float* const from = x.data() + (image * channels + group * inputs + c) * plane;
        const float* const by = weight.data() + (output * inputs + c) * taps * taps;
        each_read(
            at / cols, at % cols, height, width, taps, moves,
            [&](std::int64_t tap, std::int64_t element) { wanted += from[element] * by[tap]; });
      }
      if (!CHECK(std::abs(result[n * result_plane + at] - wanted) < 1e-3)) return;
    }
  }
}

void check_pool(Op op, std::int64_t height, std::int64_t width, int taps, const Moves& moves) {
  const std::int64_t channels = 3, rows = places(height, taps, moves);
  const std::int64_t cols = places(width, taps, moves), plane = height * width;
  std::vector<float> x = random_floats(channels * plane);
  std::vector<float> result(static_cast<std::size_t>(channels * rows * cols));
  const Sizes of_result = {1, channels, rows, cols};
  ConvolutionPlan plan(op, windows_of(moves, taps, 1), of_result,
                       dense(Sizes{1, channels, height, width}, 4));
  run(*plan.write(dense(of_result, 4)), {x.data(), result.data()});
  for (std::int64_t c = 0; c < channels; ++c) {
    for (std::int64_t at = 0; at < rows * cols; ++at) {
      double wanted = op == Op::max ? -std::numeric_limits<double>::infinity() : 0;
      each_read(at / cols, at % cols, height, width, taps, moves,
                [&](std::int64_t, std::int64_t element) {
                  const double value = x[c * plane + element];
                  wanted = op == Op::max ? std::max(wanted, value) : wanted + value;
                });
      if (!CHECK(std::abs(result[c * rows * cols + at] - wanted) < 1e-4)) return;
    }
  }
}

constexpr Moves kMoves[] = {{1, 0, 1}, {1, 1, 1}, {2, 1, 1}, {1, 2, 2}, {3, 2, 1}};

TEST(convolutions_stay_inside_their_operands) {
  on_every_isa([] {
    for (const Moves& moves : kMoves) {
      for (const std::int64_t width : {5, 16, 35}) {
        check_convolution(1, 3, 17, 7, width, 3, moves);
        check_convolution(2, 5, 4, 5, width, 3, moves);
        check_convolution(7, 1, 1, 6, width, 3, moves);  // depthwise
        check_convolution(1, 19, 9, 6, width, 1, moves);
      }
    }
    check_convolution(1, 70, 5, 9, 9, 3, {1, 1, 1});
  });
}

TEST(pools_stay_inside_their_operands) {
  on_every_isa([] {
    for (const Op op : {Op::max, Op::sum}) {
      for (const Moves& moves : kMoves) {
        for (const std::int64_t width : {5, 16, 35}) check_pool(op, 7, width, 3, moves);
      }
    }
  });
}

}  // namespace
}  // namespace dvm
