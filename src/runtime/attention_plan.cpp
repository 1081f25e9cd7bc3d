#include "runtime/attention_plan.h"

namespace dvm {
namespace {

// Strides along the batch axes of a result of rank `rank`, then along the rows.
cpu::HeadStrides head_strides(const Layout& layout, int rank) {
  cpu::HeadStrides strides;
  for (int dim = 0; dim + 1 < rank; ++dim) {
    const int own = dim - (rank - layout.rank);
    strides.push_back(own < 0 || layout.sizes[own] == 1 ? 0 : layout.strides[own]);
  }
  return strides;
}

std::int64_t from_end(const Layout& layout, int right) { return layout.sizes[layout.rank - right]; }

}  // namespace

cpu::AttentionShape attention_shape(std::span<const Layout* const> operands,
                                    std::span<const Type> types, const Layout& result,
                                    const Scoring& scoring) {
  const Layout &q = *operands[0], &k = *operands[1], &v = *operands[2];
  cpu::AttentionShape shape;
  shape.batch.assign(result.sizes, result.sizes + result.rank - 2);
  shape.queries = from_end(q, 2);
  shape.keys = from_end(k, 2);
  shape.depth = from_end(q, 1);
  shape.width = from_end(v, 1);
  shape.k_type = types[1];
  shape.v_type = types[2];
  shape.q = head_strides(q, result.rank);
  shape.k = head_strides(k, result.rank);
  shape.v = head_strides(v, result.rank);
  shape.result = head_strides(result, result.rank);
  if (operands.size() == 4) {
    const Layout& mask = *operands[3];
    shape.mask = head_strides(mask, result.rank);
    shape.mask_type = types[3];
    shape.mask_col = from_end(mask, 1) == 1 ? 0 : mask.strides[mask.rank - 1];
  }
  shape.scale = static_cast<float>(scoring.scale);
  shape.causal = scoring.causal;
  shape.hidden = static_cast<float>(scoring.hidden);
  shape.nan_if_blind = scoring.nan_if_blind;
  return shape;
}

}  // namespace dvm
