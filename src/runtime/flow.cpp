#include "runtime/flow.h"

#include <algorithm>
#include <stdexcept>

#include "runtime/channel_order.h"

namespace dvm {
namespace {

Graph with_outputs(Graph graph) {
  if (graph.outputs().empty()) throw std::invalid_argument("[" + graph.name() + "] has no outputs");
  return graph;
}

}  // namespace

Flow::Flow(Graph source)
    : graph(with_outputs(std::move(source))), fusion(fuse(graph)), binding(graph, fusion) {
  tensor_of_value.assign(graph.nodes().size(), -1);
  scalar_of_value.assign(graph.nodes().size(), -1);
  std::vector<bool> made;  // by tensor: a Kernel's or a concat, whose memory is ours to choose
  const auto add = [&](Value value, int viewed, bool is_made) {
    tensor_of_value[value] = static_cast<int>(tensors.size());
    tensors.push_back({.value = value, .viewed = viewed});
    made.push_back(is_made);
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
    } else if (at.kind == StepKind::kAttention || at.kind == StepKind::kScan ||
               (is_tiled(at.kind) && at.index < 0)) {
      for (const Value operand : graph.node(at.value).operands) use(operand, step);
      add(at.value, -1, true);
    } else if (at.kind == StepKind::kConcat) {
      std::vector<Target> parts;
      for (const Value operand : graph.node(at.value).operands)
        parts.push_back({use(operand, step)});
      add(at.value, -1, true);
      tensors.back().parts = std::move(parts);
    } else {
      if (is_tiled(at.kind)) {
        for (const Value operand : graph.node(at.value).operands) use(operand, step);
      }
      for (const KernelInput& input : fusion.kernels[at.index].inputs) {
        if (at.kind == StepKind::kKernel || input.value != at.value) use(input.value, step);
      }
      for (const KernelOutput& output : fusion.kernels[at.index].outputs)
        add(output.value, -1, true);
    }
  }

  for (const Check& check : graph.checks())
    use(check.condition, static_cast<int>(fusion.steps.size()));

  // One Target each is made in place. Values that are outputs themselves come before views of them, and outputs
  // before parts.
  std::vector<bool> taken(tensors.size());
  const auto make_in_place = [&](Target& target) {
    int root = target.tensor;
    while (tensors[root].viewed >= 0) root = tensors[root].viewed;
    if (!made[root] || taken[root]) return;
    taken[root] = true;
    target.written = root;
  };
  outputs.resize(graph.outputs().size());
  for (std::size_t i = 0; i < outputs.size(); ++i)
    outputs[i].tensor = use(graph.outputs()[i], static_cast<int>(fusion.steps.size()));
  for (const bool views : {false, true}) {
    for (Target& output : outputs) {
      if ((tensors[output.tensor].viewed >= 0) == views) make_in_place(output);
    }
  }
  for (std::size_t whole = 0; whole < tensors.size(); ++whole) {
    for (std::size_t part = 0; part < tensors[whole].parts.size(); ++part) {
      Target& target = tensors[whole].parts[part];
      make_in_place(target);
      if (target.written < 0) continue;
      tensors[target.written].whole = static_cast<int>(whole);
      tensors[target.written].part = static_cast<int>(part);
    }
  }
  choose_channel_order(*this);
}

}  // namespace dvm
