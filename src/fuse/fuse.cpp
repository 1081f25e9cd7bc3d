#include "fuse/fuse.h"

#include <map>
#include <utility>

#include "fuse/epilogue.h"
#include "fuse/lower.h"
#include "fuse/repeat.h"
#include "fuse/stitch.h"

namespace dvm {
namespace {

// Puts kernels, views and joins in an order in which each finds what it reads.
class Ordering {
 public:
  Ordering(const Graph& graph, const Grouping& grouping, Fusion& fusion)
      : graph_(graph), grouping_(grouping), fusion_(fusion), done_(graph.nodes().size(), 0) {
    for (const int group : grouping.live_groups()) kernel_of_group_[group] = -1;
  }

  void run() {
    for (const Check& check : graph_.checks()) visit(check.condition);
    for (const Value value : graph_.outputs()) visit(value);
  }

 private:
  void visit(Value value) {
    if (std::exchange(done_[value], 1)) return;
    const Node& node = graph_.node(value);
    const int group = grouping_.group_of(value);
    if (group != Grouping::kNone) return visit_group(group);
    for (const Value operand : node.operands) visit(operand);
    if (is_view(node)) fusion_.steps.push_back({StepKind::kView, -1, value});
    if (node.kind == NodeKind::kAttention)
      fusion_.steps.push_back({StepKind::kAttention, -1, value});
    if (node.kind == NodeKind::kMatmul) fusion_.steps.push_back({StepKind::kMatmul, -1, value});
    if (node.kind == NodeKind::kConvolve) fusion_.steps.push_back({StepKind::kConvolve, -1, value});
    if (node.kind == NodeKind::kPool) fusion_.steps.push_back({StepKind::kPool, -1, value});
    if (node.kind == NodeKind::kScan) fusion_.steps.push_back({StepKind::kScan, -1, value});
    if (node.kind == NodeKind::kConcat) fusion_.steps.push_back({StepKind::kConcat, -1, value});
  }

  void visit_group(int group) {
    if (kernel_of_group_.at(group) >= 0) return;
    kernel_of_group_[group] = static_cast<int>(fusion_.kernels.size());
    fusion_.kernels.emplace_back();
    const int index = kernel_of_group_[group];
    Kernel kernel = lower(graph_, grouping_, group);
    for (const KernelInput& input : kernel.inputs) visit(input.value);
    fusion_.kernels[index] = std::move(kernel);
    fusion_.steps.push_back({StepKind::kKernel, index, -1});
  }

  const Graph& graph_;
  const Grouping& grouping_;
  Fusion& fusion_;
  std::vector<char> done_;
  std::map<int, int> kernel_of_group_;
};

}  // namespace

const char* name(StepKind kind) {
  constexpr const char* kNames[] = {"kernel",      "view", "attention", "matmul",
                                    "convolution", "pool", "scan",      "concat"};
  return kNames[static_cast<int>(kind)];
}

Fusion fuse(Graph& graph) {
  graph = stitch(std::move(graph));
  const Repetition repeated = repeat_cheap_values(graph);
  const Grouping grouping(graph, repeated.copies);
  Fusion fusion;
  Ordering(graph, grouping, fusion).run();
  fusion.notes = grouping.notes();
  fusion.notes.insert(fusion.notes.end(), repeated.notes.begin(), repeated.notes.end());
  fusion.guards = grouping.guards();
  attach_epilogues(graph, grouping, fusion);
  return fusion;
}

}  // namespace dvm
