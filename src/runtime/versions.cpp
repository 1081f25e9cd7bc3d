#include "runtime/versions.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include "fuse/fuse.h"

namespace dvm {
namespace {

// Each costs a Flow; a model whose calls need more of them is served by the base.
constexpr std::size_t kMostVersions = 8;

}  // namespace

Versions::Versions(Graph graph, bool speculate) : speculate_(speculate) {
  versions_.emplace_back(GuardMask{0}, std::move(graph));
}

const Flow& Versions::choose(std::span<const TensorView> inputs,
                             std::span<const std::uint64_t> scalars) {
  if (!speculate_ || base().fusion.guards.empty()) return base();
  return version(holding(base().binding.bind(inputs, scalars)));
}

GuardMask Versions::holding(const DimValues& values) const {
  GuardMask mask = 0;
  const std::vector<Guard>& guards = base().fusion.guards;
  for (std::size_t i = 0; i < guards.size(); ++i) {
    if (values.get(guards[i].a) == values.get(guards[i].b)) mask |= GuardMask{1} << i;
  }
  return mask;
}

const Flow& Versions::version(GuardMask mask) {
  const std::lock_guard lock(mutex_);
  const auto known = std::ranges::find(versions_, mask, &Version::mask);
  if (known != versions_.end()) return known->flow;
  if (versions_.size() == kMostVersions) return base();
  std::optional<Graph> graph = graph_where(mask);
  return graph ? versions_.emplace_back(mask, std::move(*graph)).flow : base();
}

std::size_t Versions::kernels(GuardMask mask) const {
  std::optional<Graph> graph = graph_where(mask);
  return graph ? fuse(*graph).kernels.size() : base().fusion.kernels.size();
}

// The base with the guards in `mask` as facts; nothing if they contradict what is known.
std::optional<Graph> Versions::graph_where(GuardMask mask) const {
  Graph graph = base().graph;
  const std::vector<Guard>& guards = base().fusion.guards;
  for (std::size_t i = 0; i < guards.size(); ++i) {
    if ((mask >> i & 1) == 0) continue;
    Fact fact{.kind = FactKind::kEqual, .a = guards[i].a, .b = guards[i].b, .source = "guard"};
    try {
      graph.fact(std::move(fact));
    } catch (const std::invalid_argument&) {
      return std::nullopt;
    }
  }
  return graph;
}

}  // namespace dvm
