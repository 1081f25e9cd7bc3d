// How fast the CPU machine runs some hand-written programs, in and out of cache, on one thread and on all.
//
//   ninja -C build/tests machine_bench && build/tests/tests/core/machine_bench
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "cpu/dispatch.h"
#include "cpu/interpreter.h"
#include "cpu/parallel.h"
#include "isa/assemble.h"
#include "isa/decode.h"
#include "isa/encode.h"
#include "isa/verify.h"

namespace {

using dvm::Word;

double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// The fastest of many runs, in microseconds: on a busy machine the only number that repeats.
double fastest_us(const std::function<void()>& run) {
  run();
  const double start = seconds();
  run();
  const double once = std::max(seconds() - start, 1e-8);
  const int batch = std::max(1, static_cast<int>(2e-4 / once));
  const int samples = std::clamp(static_cast<int>(0.2 / (once * batch)), 5, 300);
  std::vector<double> times;
  for (int i = 0; i < samples; ++i) {
    const double from = seconds();
    for (int k = 0; k < batch; ++k) run();
    times.push_back((seconds() - from) / batch);
  }
  return *std::min_element(times.begin(), times.end()) * 1e6;
}

class Bench {
 public:
  explicit Bench(const std::string& text) : words_(dvm::encode(dvm::assemble(text))) {
    dvm::verify(words_);
    const dvm::ProgramWords program(words_.data());
    for (unsigned i = 0; i < program.arguments(); ++i) {
      const auto bytes = static_cast<std::size_t>(dvm::reach(words_, i).end);
      auto* data = static_cast<float*>(std::aligned_alloc(64, (bytes + 127) / 64 * 64));
      for (std::size_t k = 0; k < bytes / 4; ++k)
        data[k] = static_cast<float>(k % 97) * 0.03F - 1.4F;
      arguments_.push_back(data);
    }
    routine_.bind(words_, *dvm::cpu::isa().kernels);
  }
  ~Bench() {
    for (void* data : arguments_) std::free(data);
  }
  double run(int threads) {
    const dvm::cpu::Launch launch{arguments_.data(), nullptr};
    return fastest_us([&] { dvm::cpu::run(routine_, launch, threads); });
  }
  double bind() {
    dvm::cpu::Routine routine;
    return fastest_us([&] { routine.bind(words_, *dvm::cpu::isa().kernels); });
  }

 private:
  std::vector<Word> words_;
  std::vector<void*> arguments_;
  dvm::cpu::Routine routine_;
};

std::string replace(std::string text, const std::string& name, std::int64_t value) {
  for (std::size_t at; (at = text.find(name)) != std::string::npos;)
    text.replace(at, name.size(), std::to_string(value));
  return text;
}

// relu((x * y + x) * y - x)
std::string chain(std::int64_t elements, std::int64_t tile) {
  std::string text = R"(program
  axis parallel N cols T
  scratch 65536
  arguments 3
  slot m0 f32 tile argument 0 @0 [4]
  slot m1 f32 tile argument 1 @0 [4]
  slot m2 f32 tile argument 2 @0 [4]
  slot r3 f32 tile @0
each
  mul_f32 tile r3, m0, m1
  add_f32 tile r3, r3, m0
  mul_f32 tile r3, r3, m1
  sub_f32 tile r3, r3, m0
  relu_f32 tile m2, r3
)";
  return replace(replace(text, "N", elements), "T", tile);
}

std::string add_one(std::int64_t elements, std::int64_t tile) {
  return replace(replace(R"(program
  axis parallel N cols T
  scratch 0
  arguments 2
  slot m0 f32 tile argument 0 @0 [4]
  slot m1 f32 tile argument 1 @0 [4]
  slot c2 f32 one 1.0
each
  add_f32 tile m1, m0, ~c2
)",
                         "N", elements),
                 "T", tile);
}

std::string softmax(std::int64_t rows, std::int64_t cols, std::int64_t at_once) {
  std::string text = R"(program
  axis parallel ROWS rows BLOCK
  axis reduce COLS cols COLS
  scratch 1048576
  arguments 2
  slot r0 f32 row @0
  slot c1 f32 one -inf
  slot r2 f32 row @1024
  slot c3 f32 one 0.0
  slot m4 f32 tile argument 0 @0 [PITCH, 4]
  slot r5 f32 tile @2048
  slot m6 f32 tile argument 1 @0 [PITCH, 4]
once
  copy_f32 row r0, ~c1
  copy_f32 row r2, ~c3
each
  max_f32 row r0, m4
  exp_sub_f32 tile r5, m4, ~r0
  sum_f32 row r2, r5
  reciprocal_f32 row r2, r2
  mul_f32 tile m6, r5, ~r2
)";
  return replace(replace(replace(replace(text, "ROWS", rows), "COLS", cols), "BLOCK", at_once),
                 "PITCH", cols * 4);
}

std::string layer_norm(std::int64_t rows, std::int64_t cols, std::int64_t at_once) {
  std::string text = R"(program
  axis parallel ROWS rows BLOCK
  axis reduce COLS cols COLS
  scratch 1048576
  arguments 4
  slot r0 f32 row @0
  slot r1 f32 row @1024
  slot c2 f32 one 0.0
  slot c3 f32 one 0.0013020833
  slot c4 f32 one 1e-05
  slot m5 f32 tile argument 0 @0 [PITCH, 4]
  slot m6 f32 col argument 1 @0 [0, 4]
  slot m7 f32 col argument 2 @0 [0, 4]
  slot r8 f32 tile @2048
  slot m9 f32 tile argument 3 @0 [PITCH, 4]
once
  copy_f32 row r0, ~c2
  copy_f32 row r1, ~c2
each
  sum_f32 row r0, m5
  mul_f32 row r0, r0, ~c3
  sub_f32 tile r8, m5, ~r0
  sum_squares_f32 row r1, r8
  mul_f32 row r1, r1, ~c3
  add_f32 row r1, r1, ~c4
  rsqrt_f32 row r1, r1
  mul_f32 tile r8, r8, ~r1
  multiply_add_f32 tile m9, r8, m6, m7
)";
  return replace(replace(replace(replace(text, "ROWS", rows), "COLS", cols), "BLOCK", at_once),
                 "PITCH", cols * 4);
}

std::string transposed_add(std::int64_t n, std::int64_t rows, std::int64_t cols) {
  std::string text = R"(program
  axis parallel SIZE rows ROWS
  axis parallel SIZE cols COLS
  scratch 1048576
  arguments 3
  slot m0 f32 tile argument 0 @0 [PITCH, 4]
  slot m1 f32 tile argument 1 @0 [4, PITCH]
  slot m2 f32 tile argument 2 @0 [PITCH, 4]
  slot r3 f32 tile @0
each
  load_f32 tile r3, m1
  add_f32 tile m2, m0, r3
)";
  return replace(replace(replace(replace(text, "SIZE", n), "ROWS", rows), "COLS", cols), "PITCH",
                 n * 4);
}

std::string row_sum(std::int64_t rows, std::int64_t cols, std::int64_t at_once, const char* op,
                    bool columns) {
  std::string text = columns ? R"(program
  axis reduce ROWS rows BLOCK
  axis parallel COLS cols COLS
  scratch 1048576
  arguments 2
  slot r0 f32 col @0
  slot c1 f32 one 0.0
  slot m2 f32 tile argument 0 @0 [PITCH, 4]
  slot m3 f32 col argument 1 @0 [0, 4]
once
  copy_f32 col r0, ~c1
each
  OP col r0, m2
once
  copy_f32 col m3, r0
)"
                             : R"(program
  axis parallel ROWS rows BLOCK
  axis reduce COLS cols COLS
  scratch 1048576
  arguments 2
  slot r0 f32 row @0
  slot c1 f32 one 0.0
  slot m2 f32 tile argument 0 @0 [PITCH, 4]
  slot m3 f32 row argument 1 @0 [4, 0]
once
  copy_f32 row r0, ~c1
  OP row r0, m2
  copy_f32 row m3, r0
)";
  text.replace(text.find("OP"), 2, op);
  return replace(replace(replace(replace(text, "ROWS", rows), "COLS", cols), "BLOCK", at_once),
                 "PITCH", cols * 4);
}

// One instruction again and again over registers in the first-level cache.
std::string repeated(const std::string& instruction, std::int64_t rows, std::int64_t cols) {
  std::string text = R"(program
  axis reduce 1000
  axis parallel ROWS rows ROWS
  axis parallel COLS cols COLS
  scratch 1048576
  arguments 0
  slot r0 f32 tile @0
  slot r1 f32 tile @65536
  slot r2 f32 tile @131072
  slot r3 f32 row @196608
  slot r4 f32 col @200704
  slot c5 f32 one 0.5
  slot r6 bool tile @266240
  slot r7 f16 tile @331776
  slot r8 f64 tile @397312
  slot r9 f64 tile @528384
once
  copy_f32 tile r0, ~c5
  copy_f32 tile r1, ~c5
  copy_f32 tile r2, ~c5
  copy_f32 row r3, ~c5
  copy_f32 col r4, ~c5
  lt_f32 tile r6, r0, r1
  to_f64_f32 tile r8, r0
each
  WHAT
)";
  text.replace(text.find("WHAT"), 4, instruction);
  return replace(replace(text, "ROWS", rows), "COLS", cols);
}

void report(const char* what, double us, double bytes) {
  std::printf("%-44s %10.2f us %8.2f GB/s\n", what, us, bytes / us / 1e3);
  std::fflush(stdout);
}

std::string label(const std::string& what, std::int64_t a, std::int64_t b) {
  return what + " " + std::to_string(a) + " / " + std::to_string(b);
}

}  // namespace

int main(int count, char** arguments) {
  const std::string wanted = count > 1 ? arguments[1] : "";
  const auto selected = [&](const char* name) {
    return std::string(name).find(wanted) != std::string::npos;
  };
  std::printf("%s, %d threads (%s)\n", std::string(dvm::cpu::isa().name).c_str(),
              dvm::cpu::threads(), dvm::cpu::parallel_library());
  if (selected("each")) {
    constexpr const char* kInstructions[] = {"copy_f32 tile r2, r0",
                                             "add_f32 tile r2, r0, r1",
                                             "add_f32 tile r2, r0, ~c5",
                                             "add_f32 tile r2, r0, ~r3",
                                             "add_f32 tile r2, r0, r4",
                                             "multiply_add_f32 tile r2, r0, r1, r2",
                                             "div_f32 tile r2, r0, r1",
                                             "sqrt_f32 tile r2, r0",
                                             "relu_f32 tile r2, r0",
                                             "lt_f32 tile r6, r0, r1",
                                             "select_f32 tile r2, r6, r0, r1",
                                             "select_f32 tile r2, r6, r0, ~c5",
                                             "exp_f32 tile r2, r0",
                                             "exp_sub_f32 tile r2, r0, ~r3",
                                             "log_f32 tile r2, r0",
                                             "sin_f32 tile r2, r0",
                                             "tanh_f32 tile r2, r0",
                                             "erf_f32 tile r2, r0",
                                             "gelu_f32 tile r2, r0",
                                             "silu_f32 tile r2, r0",
                                             "sigmoid_f32 tile r2, r0",
                                             "pow_f32 tile r2, r0, r1",
                                             "to_f16_f32 tile r7, r0",
                                             "to_f32_f16 tile r2, r7",
                                             "exp_f64 tile r9, r8",
                                             "add_f64 tile r9, r8, r8",
                                             "max_f32 row r3, r0",
                                             "sum_f32 row r3, r0",
                                             "sum_squares_f32 row r3, r0",
                                             "sum_f32 col r4, r0"};
    for (const char* instruction : kInstructions) {
      std::printf("%-38s ns:", instruction);
      constexpr std::pair<int, int> kTiles[] = {{1, 2048}, {2, 768}, {2, 769}, {16, 64},
                                                {16, 65},  {64, 17}, {256, 3}};
      for (const auto& [rows, cols] : kTiles) {
        std::printf("  %dx%d %.1f", rows, cols, Bench(repeated(instruction, rows, cols)).run(1));
      }
      std::printf("\n");
    }
  }
  if (selected("encode")) {
    const dvm::Program program = dvm::assemble(layer_norm(128, 768, 4));
    const std::vector<Word> words = dvm::encode(program);
    std::printf("layer_norm: %zu words\n", words.size());
    std::size_t made = 0;
    report("encode", fastest_us([&] { made += dvm::encode(program).size(); }), 0);
    report("decode", fastest_us([&] { made += dvm::decode(words).slots.size(); }), 0);
    report("verify", fastest_us([&] { dvm::verify(words); }), 0);
    report("bind", Bench(layer_norm(128, 768, 4)).bind(), 0);
    report("run of one element", Bench(chain(1, 1)).run(1), 0);
    if (made == 0) return 1;
  }
  if (selected("memcpy")) {
    for (std::int64_t n : {4096, 65536, 1 << 20, 1 << 24}) {
      std::vector<float> from(n, 1.0F), to(n);
      report(label("memcpy, floats", n, 1).c_str(),
             fastest_us([&] { std::memcpy(to.data(), from.data(), n * 4); }), 8.0 * n);
    }
  }
  if (selected("add")) {
    for (std::int64_t n : {4096, 65536, 1 << 20, 1 << 24}) {
      for (std::int64_t tile : {1024, 2048, 4096, 16384}) {
        if (tile <= n)
          report(label("add constant, floats / tile", n, tile).c_str(),
                 Bench(add_one(n, tile)).run(1), 8.0 * n);
      }
    }
  }
  if (selected("chain")) {
    for (std::int64_t n : {1000, 4096, 65536, 1 << 20, 1 << 24}) {
      for (std::int64_t tile : {512, 1024, 1536, 2048, 3072, 4096}) {
        if (tile <= n || tile == 512)
          report(label("chain of 5, floats / tile", n, tile).c_str(), Bench(chain(n, tile)).run(1),
                 12.0 * n);
      }
    }
    report("chain of 5, 2 threads 16M", Bench(chain(1 << 24, 2048)).run(0), 12.0 * (1 << 24));
  }
  if (selected("softmax")) {
    for (std::int64_t at_once : {1, 2, 4, 8})
      report(label("softmax 128x768, rows at once", at_once, 1).c_str(),
             Bench(softmax(128, 768, at_once)).run(1), 8.0 * 128 * 768);
    report("softmax 128x769", Bench(softmax(128, 769, 2)).run(1), 8.0 * 128 * 769);
    report("softmax 4096x32", Bench(softmax(4096, 32, 32)).run(1), 8.0 * 4096 * 32);
    report("softmax 4096x33", Bench(softmax(4096, 33, 32)).run(1), 8.0 * 4096 * 33);
    report("softmax 16384x8", Bench(softmax(16384, 8, 128)).run(1), 8.0 * 16384 * 8);
    report("softmax 128x768 all threads", Bench(softmax(128, 768, 4)).run(0), 8.0 * 128 * 768);
    report("softmax, binding", Bench(softmax(128, 768, 4)).bind(), 0);
  }
  if (selected("layer_norm")) {
    for (std::int64_t at_once : {1, 2, 4, 8})
      report(label("layer_norm 128x768, rows at once", at_once, 1).c_str(),
             Bench(layer_norm(128, 768, at_once)).run(1), 8.0 * 128 * 768);
    report("layer_norm 128x769", Bench(layer_norm(128, 769, 2)).run(1), 8.0 * 128 * 769);
    report("layer_norm 4096x64", Bench(layer_norm(4096, 64, 32)).run(1), 8.0 * 4096 * 64);
  }
  if (selected("transposed")) {
    for (std::int64_t n : {256, 1024, 4096}) {
      constexpr std::pair<int, int> kTiles[] = {{16, 64},  {32, 32},   {64, 64}, {128, 64},
                                                {256, 64}, {128, 128}, {256, 16}};
      for (const auto& [rows, cols] : kTiles) {
        const std::string tile = std::to_string(rows) + "x" + std::to_string(cols);
        report(("transposed add " + std::to_string(n) + ", tile " + tile).c_str(),
               Bench(transposed_add(n, rows, cols)).run(1), 12.0 * n * n);
      }
    }
  }
  if (selected("reduce")) {
    for (std::int64_t cols : {3, 8, 16, 17, 32, 64, 100, 768, 4096}) {
      const std::int64_t rows = (1 << 18) / cols, block = std::max<std::int64_t>(1, 2048 / cols);
      for (const char* op : {"sum_f32", "max_f32"}) {
        report(label(std::string(op) + " rows, rows / cols", rows, cols).c_str(),
               Bench(row_sum(rows, cols, block, op, false)).run(1), 4.0 * rows * cols);
        report(label(std::string(op) + " columns, rows / cols", rows, cols).c_str(),
               Bench(row_sum(rows, cols, block, op, true)).run(1), 4.0 * rows * cols);
      }
    }
  }
  return 0;
}
