#include "schedule/schedule.h"

#include <algorithm>

#include "schedule/emit.h"
#include "schedule/split.h"
#include "schedule/stage.h"

namespace dvm {
namespace {

// Whether a term takes up a register: results do unless they go straight to an output, loads only when they cannot
// be read where they are.
bool in_register(const Kernel& kernel, const Space& space, std::size_t index) {
  const Term& term = kernel.terms[index];
  if (term.kind == TermKind::kElementwise) {
    return std::ranges::none_of(kernel.outputs, [&](const KernelOutput& output) {
      return output.term == static_cast<std::int32_t>(index) && output.type == term.type;
    });
  }
  if (term.kind != TermKind::kLoad) return false;
  const Access& access = space.inputs[term.index];
  const bool contiguous = std::ranges::find(access.strides, access.bytes) != access.strides.end();
  return kernel.inputs[term.index].type != term.type || !contiguous;
}

}  // namespace

Tiling tile_for(const Kernel& kernel, const Space& space) {
  // Values alive at once: a scan over definitions and last uses.
  std::vector<int> last_use(kernel.terms.size(), -1);
  std::int64_t element = 1;
  for (std::size_t i = 0; i < kernel.terms.size(); ++i) {
    for (const std::int32_t operand : kernel.terms[i].operands) {
      if (operand >= 0) last_use[operand] = static_cast<int>(i);
    }
    if (kernel.terms[i].mask != 0 || kernel.terms[i].kind == TermKind::kLoad) {
      element = std::max(element, bytes(kernel.terms[i].type));
    }
  }
  int alive = 0;
  int most = 0;
  for (std::size_t i = 0; i < kernel.terms.size(); ++i) {
    const Term& term = kernel.terms[i];
    if (in_register(kernel, space, i)) ++alive;
    most = std::max(most, alive);
    for (std::size_t k = 0; k < kMaxOperands; ++k) {
      const std::int32_t operand = term.operands[k];
      const bool repeated = std::find(term.operands, term.operands + k, operand) != term.operands + k;
      if (operand < 0 || repeated || last_use[operand] != static_cast<int>(i)) continue;
      if (in_register(kernel, space, static_cast<std::size_t>(operand))) --alive;
    }
  }
  return choose_tile(space, most, element);
}

Scheduled schedule(const Kernel& kernel, const KernelShape& shape) {
  const Space space = collapse(kernel, shape);
  if (space.empty) return {};
  const Tiling tile = tile_for(kernel, space);
  std::int64_t elements = 1;
  for (const Axis& axis : space.axes) elements *= axis.extent;
  if (space.reduced != 0 && choose_parts(kernel, tile.blocks, tile.chunks, elements) > 1) return split(kernel, shape);
  Scheduled scheduled;
  Stage stage{emit(kernel, shape, space, tile), {}};
  for (std::size_t i = 0; i < kernel.inputs.size(); ++i) {
    stage.sources.push_back({Source::kInput, static_cast<std::int32_t>(i), 0});
  }
  for (std::size_t i = 0; i < kernel.outputs.size(); ++i) {
    stage.sources.push_back({Source::kOutput, static_cast<std::int32_t>(i), 0});
  }
  scheduled.stages.push_back(std::move(stage));
  return scheduled;
}

}  // namespace dvm
