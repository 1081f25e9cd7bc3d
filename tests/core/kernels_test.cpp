// Kernels where random programs do not reach: nan, every element size, every length of tail, results beyond the caches.
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "check.h"
#include "cpu/dispatch.h"
#include "cpu/interpreter.h"
#include "isa/assemble.h"
#include "isa/encode.h"
#include "isa/verify.h"

namespace dvm::test {
namespace {

std::string with(std::string text, const std::string& name, std::int64_t value) {
  for (std::size_t at = 0; (at = text.find(name)) != std::string::npos;) {
    text.replace(at, name.size(), std::to_string(value));
  }
  return text;
}

void run(const std::string& text, std::vector<void*> arguments, int threads = 1) {
  const std::vector<Word> words = encode(assemble(text));
  verify(words);
  cpu::run(words, {arguments.data(), nullptr}, threads);
}

void on_every_isa(const std::function<void()>& body) {
  for (const std::string_view isa : cpu::available_isas()) {
    cpu::choose_isa(isa);
    body();
  }
  cpu::choose_isa(cpu::available_isas().front());
}

bool same_bits(float a, float b) {
  return std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b);
}

// The maximum of the rows and of the columns, with its place.
constexpr const char* kExtremes = R"(program
  axis parallel ROWS rows ROWS
  axis reduce COLS cols BLOCK
  scratch 65536
  arguments 3
  slot m0 f32 tile argument 0 @0 [PITCH, 4]
  slot m1 f32 row argument 1 @0 [4, 0]
  slot m2 i64 row argument 2 @0 [8, 0]
  slot c3 f32 one -inf
  slot c4 i64 one 0
  slot r5 f32 row @0
  slot r6 f32 row @4096
  slot r7 i64 row @8192
  slot i8 i64 tile from 0 [0, 1]
once
  copy_f32 row r5, ~c3
  copy_f32 row r6, ~c3
  copy_i64 row r7, ~c4
each
  max_f32 row r5, m0
  argmax_f32 row r7, m0, r6, i8
once
  copy_f32 row m1, r5
  copy_i64 row m2, r7
)";

void check_extremes(std::int64_t rows, std::int64_t cols, std::int64_t nan_at) {
  std::vector<float> data(static_cast<std::size_t>(rows * cols));
  for (std::size_t i = 0; i < data.size(); ++i)
    data[i] = static_cast<float>((i * 37) % 101) - 50.0F;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto at = [&](std::int64_t r, std::int64_t c) -> float& {
    return data[static_cast<std::size_t>(r * cols + c)];
  };
  if (nan_at >= 0) {
    at(rows / 2, nan_at % cols) = nan;
    at(rows / 2, cols - 1) = nan;
  }
  std::vector<float> found(static_cast<std::size_t>(rows));
  std::vector<std::int64_t> places(static_cast<std::size_t>(rows));
  const std::string text = with(with(with(with(kExtremes, "ROWS", rows), "COLS", cols), "BLOCK",
                                     std::max<std::int64_t>(1, cols / 2)),
                                "PITCH", cols * 4);
  run(text, {data.data(), found.data(), places.data()});
  for (std::int64_t r = 0; r < rows; ++r) {
    std::int64_t best = 0;
    for (std::int64_t c = 1; c < cols; ++c) {
      if (std::isnan(at(r, best))) break;
      if (at(r, c) > at(r, best) || std::isnan(at(r, c))) best = c;
    }
    CHECK(places[static_cast<std::size_t>(r)] == best);
    CHECK(std::isnan(at(r, best)) ? std::isnan(found[static_cast<std::size_t>(r)])
                                  : found[static_cast<std::size_t>(r)] == at(r, best));
  }
}

constexpr const char* kTranspose = R"(program
  axis parallel 37 rows 20
  axis parallel 45 cols 33
  scratch 65536
  arguments 2
  slot m0 TYPE tile argument 0 @0 [SIZE, PITCH]
  slot m1 TYPE tile argument 1 @0 [OUT, SIZE]
  slot r2 TYPE tile @0
each
  load_TYPE tile r2, m0
  store_TYPE tile m1, r2
)";

void check_transpose(const std::string& type, std::int64_t size) {
  std::string text = kTranspose;
  for (std::size_t at = 0; (at = text.find("TYPE")) != std::string::npos;)
    text.replace(at, 4, type);
  text = with(with(with(text, "SIZE", size), "PITCH", size * 37), "OUT", size * 45);
  std::vector<unsigned char> from(static_cast<std::size_t>(37 * 45 * size)), to(from.size());
  for (std::size_t i = 0; i < from.size(); ++i) from[i] = static_cast<unsigned char>(i * 31);
  run(text, {from.data(), to.data()});
  for (std::int64_t r = 0; r < 37; ++r) {
    for (std::int64_t c = 0; c < 45; ++c) {
      CHECK(std::memcmp(&to[static_cast<std::size_t>((r * 45 + c) * size)],
                        &from[static_cast<std::size_t>((c * 37 + r) * size)],
                        static_cast<std::size_t>(size)) == 0);
    }
  }
}

constexpr const char* kAddOne = R"(program
  axis parallel COUNT cols 4096
  scratch 0
  arguments 2
  slot m0 f32 tile argument 0 @0 [4]
  slot m1 f32 tile argument 1 @4 [4]
  slot c2 f32 one 1.0
each
  add_f32 tile m1, m0, ~c2
)";

}  // namespace

TEST(extremes_keep_nan_and_find_the_first) {
  on_every_isa([] {
    for (std::int64_t cols : {1, 2, 3, 5, 8, 15, 16, 17, 31, 33, 64, 65, 100, 257}) {
      for (std::int64_t rows : {1, 3, 4, 17, 40}) {
        for (std::int64_t nan_at : {-1, 0, 7, 20}) check_extremes(rows, cols, nan_at);
      }
    }
  });
}

TEST(transposes_move_every_size_of_element) {
  on_every_isa([] {
    check_transpose("u8", 1);
    check_transpose("f16", 2);
    check_transpose("f32", 4);
    check_transpose("i64", 8);
  });
}

TEST(tails_of_every_length_are_written_and_nothing_else) {
  on_every_isa([] {
    for (std::int64_t count = 0; count < 200; ++count) {
      std::vector<float> from(200, 1.5F), to(202, -7.0F);
      run(with(kAddOne, "COUNT", count), {from.data(), to.data()});
      for (std::size_t i = 0; i < to.size(); ++i) {
        const bool inside = i >= 1 && i <= static_cast<std::size_t>(count);
        CHECK(same_bits(to[i], inside ? 2.5F : -7.0F));
      }
    }
  });
}

TEST(results_beyond_the_caches_arrive_whole) {
  constexpr std::int64_t kCount = (32 << 20) / 4 + 1003;
  std::vector<float> from(kCount), to(kCount + 2, -7.0F);
  for (std::size_t i = 0; i < from.size(); ++i) from[i] = static_cast<float>(i % 1000);
  on_every_isa([&] {
    std::fill(to.begin(), to.end(), -7.0F);
    run(with(kAddOne, "COUNT", kCount), {from.data(), to.data()}, 2);
    CHECK(to.front() == -7.0F && to.back() == -7.0F);
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < from.size(); ++i) wrong += to[i + 1] == from[i] + 1.0F ? 0 : 1;
    CHECK(wrong == 0);
  });
}

TEST(results_do_not_depend_on_the_number_of_threads) {
  constexpr std::int64_t kRows = 512, kCols = 1021;
  const std::string text = with(with(with(R"(program
  axis parallel ROWS rows 2
  axis reduce COLS cols 256
  scratch 65536
  arguments 2
  slot m0 f32 tile argument 0 @0 [PITCH, 4]
  slot m1 f32 row argument 1 @0 [4, 0]
  slot c2 f32 one 0.0
  slot r3 f32 row @0
  slot r4 f32 tile @64
once
  copy_f32 row r3, ~c2
each
  exp_f32 tile r4, m0
  sum_f32 row r3, r4
once
  copy_f32 row m1, r3
)",
                                          "ROWS", kRows),
                                     "COLS", kCols),
                                "PITCH", kCols * 4);
  std::vector<float> from(kRows * kCols), one(kRows), two(kRows);
  for (std::size_t i = 0; i < from.size(); ++i)
    from[i] = static_cast<float>(i % 997) * 0.01F - 5.0F;
  on_every_isa([&] {
    run(text, {from.data(), one.data()}, 1);
    run(text, {from.data(), two.data()}, 2);
    CHECK(std::memcmp(one.data(), two.data(), one.size() * sizeof(float)) == 0);
  });
}

}  // namespace dvm::test
