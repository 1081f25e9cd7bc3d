// How the tensors of one attention lie: what cpu/attention.h asks for, from the layouts of operands and result.
#pragma once

#include <span>

#include "cpu/attention.h"
#include "graph/graph.h"
#include "runtime/layout.h"

namespace dvm {

/// `operands` are queries, keys, values and perhaps a mask, broadcast along the batch axes of `result`; all but the mask are
/// contiguous along their last axis.
cpu::AttentionShape attention_shape(std::span<const Layout* const> operands,
                                    std::span<const Type> types, const Layout& result,
                                    const Scoring& scoring);

}  // namespace dvm
