#include "schedule/schedule.h"

#include <algorithm>

#include "schedule/emit.h"
#include "schedule/split.h"
#include "schedule/stage.h"

namespace dvm {
namespace {

// Whether a term takes up a whole tile register: results do unless they go straight to an output or vary over fewer
// axes than the tile, loads only when they cannot be read where they are.
bool in_register(const Kernel& kernel, const Space& space, std::size_t index) {
  const Term& term = kernel.terms[index];
  if (term.kind == TermKind::kLoad) {
    const Access& access = space.inputs[term.index];
    const bool contiguous = std::ranges::find(access.strides, access.bytes) != access.strides.end();
    return kernel.inputs[term.index].type != term.type || !contiguous;
  }
  if (term.kind != TermKind::kElementwise ||
      (kernel.reduced != 0 && (term.mask & kernel.reduced) == 0))
    return false;
  return std::ranges::none_of(kernel.outputs, [&](const KernelOutput& output) {
    return output.term == static_cast<std::int32_t>(index) && output.type == term.type;
  });
}

// Whether the reduced elements are passed over more than once.
bool passes_again(const Kernel& kernel) {
  if (std::ranges::any_of(kernel.terms, [](const Term& term) { return term.level > 1; }))
    return true;
  return std::ranges::any_of(kernel.outputs, [&](const KernelOutput& output) {
    return (kernel.terms[output.term].mask & kernel.reduced) != 0;
  });
}

// Tensors that a tile reads or writes in full.
int large_operands(const Space& space) {
  std::int64_t largest = 0;
  for (const auto* list : {&space.inputs, &space.outputs}) {
    for (const Access& access : *list) largest = std::max(largest, access.footprint);
  }
  int count = 0;
  for (const auto* list : {&space.inputs, &space.outputs}) {
    for (const Access& access : *list) count += access.footprint == largest ? 1 : 0;
  }
  return count;
}

}  // namespace

Tiling tile_for(const Kernel& kernel, const Space& space) {
  // Tile registers alive at once: a scan over definitions and last uses.
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
  TileNeeds needs{.registers = 0,
                  .operands = large_operands(space),
                  .element = element,
                  .again = kernel.reduced != 0 && passes_again(kernel)};
  int alive = 0;
  for (std::size_t i = 0; i < kernel.terms.size(); ++i) {
    const Term& term = kernel.terms[i];
    if (in_register(kernel, space, i)) ++alive;
    needs.registers = std::max(needs.registers, alive);
    for (std::size_t k = 0; k < kMaxOperands; ++k) {
      const std::int32_t operand = term.operands[k];
      const bool repeated =
          std::find(term.operands, term.operands + k, operand) != term.operands + k;
      if (operand < 0 || repeated || last_use[operand] != static_cast<int>(i)) continue;
      if (in_register(kernel, space, static_cast<std::size_t>(operand))) --alive;
    }
  }
  return choose_tile(space, needs);
}

Scheduled schedule(const Kernel& kernel, const KernelShape& shape) {
  const Space space = collapse(kernel, shape);
  if (space.empty) return {};
  const Tiling tile = tile_for(kernel, space);
  if (space.reduced != 0 && choose_parts(kernel, tile.blocks, tile.chunks, space.elements()) > 1)
    return split(kernel, shape);
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
