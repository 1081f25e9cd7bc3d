// Attention: softmax(scale * q k^T + mask) v for many heads, block of rows by block of rows, without the scores ever being
// in memory: keys are taken a block at a time, and what came before is scaled down when a larger score comes (Dao et al.,
// "FlashAttention", 2022, section 3.1). Queries and the result are f32, keys and values may be narrower.
#pragma once

#include <cstdint>
#include <vector>

#include "cpu/dispatch.h"
#include "cpu/matrix.h"
#include "cpu/tiled.h"

namespace dvm::cpu {

/// Byte strides of one tensor along every batch axis, then along its rows.
using HeadStrides = std::vector<std::int64_t>;

struct AttentionShape {
  std::vector<std::int64_t> batch;                           // with the heads
  std::int64_t queries = 0, keys = 0, depth = 0, width = 0;  // width: of a value
  Type k_type = Type::f32, v_type = Type::f32;  // those that isa/products.def multiplies with f32
  HeadStrides q, k, v, result;                  // all contiguous along their last axis
  HeadStrides mask;                             // empty for none
  std::int64_t mask_col = 0;                    // bytes
  Type mask_type = Type::f32;                   // added, or bool_: hides scores where it is false
  float scale = 1;
  bool causal = false;        // query i sees the keys up to i
  float hidden = 0;           // what a bool mask makes of scores
  bool nan_if_blind = false;  // of a query whose scores are all -inf; otherwise it gives zeros
};

class Attention final : public Tiled {
 public:
  Attention(AttentionShape shape, const KernelTable& kernels);

  /// Blocks are rows of one head. Arguments of the launch: q, k, v, the mask if there is one, and the result.
  void run(const Launch& launch, std::int64_t first, std::int64_t end) const override;
  const char* name() const override { return "attention"; }
  std::size_t bytes() const override { return sizeof(*this); }

 private:
  struct Block;
  struct Sums;
  void run_block(const Launch& launch, const Block& block, float* scratch) const;
  bool sum(const Launch& launch, const Block& block, const Sums& sums, bool skips) const;
  std::int64_t offset(const HeadStrides& strides, const Block& block) const;

  AttentionShape shape_;
  MatrixKernels scores_, few_scores_, values_;
  AttentionKernels kernels_;
  std::int64_t rows_ = 1, blocks_of_rows_ = 0;
  std::int64_t scores_room_ = 0;
};

}  // namespace dvm::cpu
