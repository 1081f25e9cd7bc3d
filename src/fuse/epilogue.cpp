#include "fuse/epilogue.h"

#include <algorithm>
#include <vector>

namespace dvm {
namespace {

// A tile knows neither its place in the whole nor other tiles.
bool works_on_tiles(const Kernel& kernel) {
  return kernel.reduced == 0 && std::ranges::none_of(kernel.terms, [](const Term& term) {
           return term.kind == TermKind::kIota || term.op == Op::gather;
         });
}

}  // namespace

int epilogue_input(const Kernel& kernel, Value value) {
  int found = -1;
  for (std::size_t i = 0; i < kernel.inputs.size(); ++i) {
    const KernelInput& input = kernel.inputs[i];
    if (input.value != value) continue;
    const bool covers = std::ranges::all_of(input.dim_of_axis, [](int dim) { return dim >= 0; });
    if (found >= 0 || !covers) return -1;  // read in two ways, or again along other axes
    found = static_cast<int>(i);
  }
  return found;
}

void attach_epilogues(const Graph& graph, const Grouping& grouping, Fusion& fusion) {
  std::vector<Step>& steps = fusion.steps;
  std::vector<char> taken(fusion.kernels.size(), 0);
  // Of several products a Kernel finishes the last: the others are there by then.
  for (std::size_t at = steps.size(); at-- > 0;) {
    const Value product = steps[at].value;
    if (!is_tiled(steps[at].kind) || steps[at].index >= 0) continue;
    if (is_grouped(graph.node(product))) continue;  // its tiles end where groups do
    const std::vector<Value>& users = grouping.users(product);
    if (grouping.outside(product) || users.empty()) continue;
    const int group = grouping.group_of(users[0]);
    const bool together =
        std::ranges::all_of(users, [&](Value user) { return grouping.group_of(user) == group; });
    if (!together) continue;
    const auto reader = std::ranges::find_if(steps, [&](const Step& step) {
      return step.kind == StepKind::kKernel &&
             epilogue_input(fusion.kernels[step.index], product) >= 0;
    });
    if (reader == steps.end() || taken[reader->index] != 0) continue;
    if (!works_on_tiles(fusion.kernels[reader->index])) continue;
    taken[reader->index] = 1;
    *reader = {steps[at].kind, reader->index, product};
    steps.erase(steps.begin() + static_cast<std::ptrdiff_t>(at));
  }
}

}  // namespace dvm
