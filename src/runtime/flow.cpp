#include "runtime/flow.h"

#include <algorithm>
#include <stdexcept>

namespace dvm {
namespace {

void check_callable(const Graph& graph) {
  for (const Node& node : graph.nodes()) {
    if (node.kind == NodeKind::kCall) {
      throw std::invalid_argument("[" + graph.name() + "] has a call to " + node.name +
                                  ": an Executable runs graphs without calls");
    }
  }
  if (graph.outputs().empty()) throw std::invalid_argument("[" + graph.name() + "] has no outputs");
}

Fusion checked_fuse(const Graph& graph) {
  check_callable(graph);
  return fuse(graph);
}

}  // namespace

Flow::Flow(Graph source)
    : graph(std::move(source)), fusion(checked_fuse(graph)), binding(graph, fusion) {
  tensor_of_value.assign(graph.nodes().size(), -1);
  scalar_of_value.assign(graph.nodes().size(), -1);
  std::vector<bool> computed;  // written by a Kernel, by tensor
  const auto add = [&](Value value, int viewed, bool by_kernel) {
    tensor_of_value[value] = static_cast<int>(tensors.size());
    tensors.push_back({.value = value, .viewed = viewed});
    computed.push_back(by_kernel);
  };
  const auto use = [&](Value value, int step) {
    const int tensor = tensor_of_value[value];
    if (tensor < 0)
      throw std::logic_error("[flow] %" + std::to_string(value) + " is read before it is written");
    tensors[tensor].last_step = std::max(tensors[tensor].last_step, step);
    return tensor;
  };

  for (const Value input : graph.inputs()) add(input, -1, false);
  for (std::size_t i = 0; i < graph.scalars().size(); ++i)
    scalar_of_value[graph.scalars()[i]] = static_cast<int>(i);
  for (int step = 0; step < static_cast<int>(fusion.steps.size()); ++step) {
    const Step& at = fusion.steps[step];
    if (at.kind == StepKind::kView) {
      add(at.value, use(graph.node(at.value).operands[0], step), false);
    } else {
      for (const KernelInput& input : fusion.kernels[at.index].inputs) use(input.value, step);
      for (const KernelOutput& output : fusion.kernels[at.index].outputs)
        add(output.value, -1, true);
    }
  }

  for (const Check& check : graph.checks())
    use(check.condition, static_cast<int>(fusion.steps.size()));

  // Values that are outputs themselves come before views of them: only one can be written in place.
  std::vector<bool> taken(tensors.size());
  outputs.resize(graph.outputs().size());
  for (const bool views : {false, true}) {
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      const int tensor = use(graph.outputs()[i], 0);
      outputs[i].tensor = tensor;
      if ((tensors[tensor].viewed >= 0) != views) continue;
      int root = tensor;
      while (tensors[root].viewed >= 0) root = tensors[root].viewed;
      if (!computed[root] || taken[root]) continue;
      taken[root] = true;
      outputs[i].written = root;
    }
  }
}

}  // namespace dvm
