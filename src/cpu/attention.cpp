#include "cpu/attention.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "cpu/scratch.h"
#include "isa/program.h"

namespace dvm::cpu {
namespace {

// Scores of a block, the keys and the values that make them share the second-level cache.
constexpr std::int64_t kRows = 64;
constexpr std::int64_t kKeys = 128;
// Fewer queries than this are no vector: then keys are dotted with each.
constexpr std::int64_t kLeastVector = 8;
constexpr std::int64_t kVector = 16;
// What a score costs besides its products, in units of Routine::work.
constexpr double kWorkPerScore = 8;

const std::byte* at(const Launch& launch, int argument, std::int64_t offset) {
  return static_cast<const std::byte*>(launch.arguments[argument]) + offset;
}

constexpr std::int64_t kFloat = sizeof(float);

}  // namespace

// Rows [row, row + rows) of one head.
struct Attention::Block {
  std::int64_t batch[kMaxAxes] = {};
  std::int64_t row = 0, rows = 0;
};

Attention::Attention(AttentionShape shape, const KernelTable& kernels)
    : shape_(std::move(shape)),
      scores_(kernels.matrix[product_of(shape_.k_type, Type::f32)]),
      values_(kernels.matrix[product_of(Type::f32, shape_.v_type)]),
      kernels_(kernels.attention) {
  const std::int64_t parts = (shape_.queries + kRows - 1) / kRows;
  rows_ = parts > 0 ? (shape_.queries + parts - 1) / parts : 1;
  if (rows_ > kVector) rows_ = (rows_ + kVector - 1) / kVector * kVector;
  blocks_of_rows_ = (shape_.queries + rows_ - 1) / rows_;
  double heads = 1;
  blocks_ = blocks_of_rows_;
  for (const std::int64_t size : shape_.batch) {
    blocks_ *= size;
    heads *= static_cast<double>(size);
  }
  if (shape_.width == 0) blocks_ = 0;
  const double scores =
      heads * static_cast<double>(shape_.queries) * static_cast<double>(shape_.keys);
  work_ = scores *
          (static_cast<double>(shape_.depth + shape_.width) / kProductsPerWork + kWorkPerScore);
}

std::int64_t Attention::offset(const HeadStrides& strides, const Block& block) const {
  std::int64_t bytes = 0;
  for (std::size_t i = 0; i < shape_.batch.size(); ++i) bytes += block.batch[i] * strides[i];
  return bytes;
}

void Attention::run(const Launch& launch, std::int64_t first, std::int64_t end) const {
  thread_local Scratch scratch;
  const std::int64_t floats = rows_ * (kKeys + shape_.depth + shape_.width + 4);
  auto* const memory =
      reinterpret_cast<float*>(scratch.get(static_cast<std::size_t>(floats * kFloat)));
  for (std::int64_t n = first; n < end; ++n) {
    Block block;
    block.row = n % blocks_of_rows_ * rows_;
    block.rows = std::min(rows_, shape_.queries - block.row);
    std::int64_t left = n / blocks_of_rows_;
    for (std::size_t i = shape_.batch.size(); i-- > 0;) {
      block.batch[i] = left % shape_.batch[i];
      left /= shape_.batch[i];
    }
    run_block(launch, block, memory);
  }
}

void Attention::run_block(const Launch& launch, const Block& block, float* scratch) const {
  const AttentionShape& s = shape_;
  const std::size_t heads = s.batch.size();
  const std::byte* const q = at(launch, 0, offset(s.q, block) + block.row * s.q[heads]);
  const std::byte* const k = at(launch, 1, offset(s.k, block));
  const std::byte* const v = at(launch, 2, offset(s.v, block));
  const std::int64_t bytes_of_k = dvm::bytes(s.k_type), bytes_of_v = dvm::bytes(s.v_type);
  const bool masked = !s.mask.empty();
  const std::byte* const mask =
      masked ? at(launch, 3, offset(s.mask, block) + block.row * s.mask[heads]) : nullptr;
  float* const scores = scratch;
  float* const turned = scores + rows_ * kKeys;
  float* const result = turned + rows_ * s.depth;
  float* const largest = result + rows_ * s.width;
  float* const total = largest + rows_;
  std::fill(result, result + block.rows * s.width, 0.0f);
  std::fill(largest, largest + block.rows, -std::numeric_limits<float>::infinity());
  std::fill(total, total + block.rows, 0.0f);
  const bool vectors = block.rows >= kLeastVector;
  kernels_.turn({.from = reinterpret_cast<const float*>(q),
                 .from_row = s.q[heads] / kFloat,
                 .to = turned,
                 .to_row = vectors ? rows_ : 1,
                 .to_query = vectors ? 1 : s.depth,
                 .queries = block.rows,
                 .depth = s.depth,
                 .scale = s.scale});
  // A causal block needs no keys beyond its last row.
  const std::int64_t keys = s.causal ? std::min(s.keys, block.row + block.rows) : s.keys;
  for (std::int64_t from = 0; from < keys; from += kKeys) {
    const std::int64_t count = std::min(kKeys, keys - from);
    const MatrixTile products{.a = k + from * s.k[heads],
                              .a_row = s.k[heads] / bytes_of_k,
                              .a_col = 1,
                              .b = turned,
                              .b_row = vectors ? rows_ : 1,
                              .b_col = vectors ? 1 : s.depth,
                              .c = scores,
                              .c_row = rows_,
                              .m = count,
                              .n = block.rows,
                              .k = s.depth};
    (vectors ? scores_.outer : scores_.dot)(products);
    const auto* const added =
        reinterpret_cast<const float*>(masked ? mask + from * s.mask_col : nullptr);
    kernels_.scores({.scores = scores,
                     .score_row = rows_,
                     .queries = block.rows,
                     .keys = count,
                     .mask = added,
                     .mask_query = masked ? s.mask[heads] / kFloat : 0,
                     .mask_key = s.mask_col / kFloat,
                     .causal = s.causal,
                     .first = from - block.row,
                     .largest = largest,
                     .total = total,
                     .most = total + rows_,
                     .less = total + 2 * rows_,
                     .result = result,
                     .depth = s.width});
    values_.outer({.a = scores,
                   .a_row = 1,
                   .a_col = rows_,
                   .b = v + from * s.v[heads],
                   .b_row = s.v[heads] / bytes_of_v,
                   .b_col = 1,
                   .c = result,
                   .c_row = s.width,
                   .m = block.rows,
                   .n = s.width,
                   .k = count,
                   .adds = true});
  }
  auto* const to = static_cast<std::byte*>(launch.arguments[masked ? 4 : 3]) +
                   offset(s.result, block) + block.row * s.result[heads];
  kernels_.shares({.result = result,
                   .total = total,
                   .to = reinterpret_cast<float*>(to),
                   .to_row = s.result[heads] / kFloat,
                   .rows = block.rows,
                   .depth = s.width});
}

}  // namespace dvm::cpu
