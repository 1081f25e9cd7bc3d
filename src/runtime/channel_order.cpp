#include "runtime/channel_order.h"

#include <algorithm>
#include <numeric>

#include "graph/windows.h"
#include "runtime/flow.h"

namespace dvm {
namespace {

class ChannelOrder {
 public:
  explicit ChannelOrder(Flow& flow) : flow_(flow) {}

  void run() {
    for (const Step& step : flow_.fusion.steps) {
      if (step.kind == StepKind::kView) {
        const Node& node = flow_.graph.node(step.value);
        if (node.kind == NodeKind::kSlice) mark(step.value, is_marked(node.operands[0]));
      } else if (step.kind == StepKind::kConcat) {
        mark(step.value, std::ranges::any_of(flow_.graph.node(step.value).operands,
                                             [&](Value part) { return is_marked(part); }));
      } else if (step.kind == StepKind::kConvolve || step.kind == StepKind::kPool) {
        windows_step(step);
      } else if (step.kind == StepKind::kKernel) {
        kernel_step(flow_.fusion.kernels[step.index]);
      }
    }
    for (const Step& step : flow_.fusion.steps) {
      if (step.kind != StepKind::kView) continue;
      const Node& node = flow_.graph.node(step.value);
      if (node.kind == NodeKind::kReshape && parts_channels(node)) mark(node.operands[0], false);
    }
  }

 private:
  FlowTensor& tensor(Value value) { return flow_.tensors[flow_.tensor_of(value)]; }
  bool is_marked(Value value) { return tensor(value).channels_last; }
  void mark(Value value, bool last) {
    tensor(value).channels_last = last && flow_.graph.node(value).shape.size() > 2;
  }

  void windows_step(const Step& step) {
    const Node& node = flow_.graph.node(step.value);
    const bool last = node.kind == NodeKind::kPool ? is_marked(node.operands[0]) : gains(node);
    if (!last) return;
    if (step.index < 0) return mark(step.value, true);
    const Kernel& kernel = flow_.fusion.kernels[step.index];
    const auto read = std::ranges::find(kernel.inputs, step.value, &KernelInput::value);
    for (const KernelOutput& output : kernel.outputs)
      mark(output.value, output.dim_of_axis == read->dim_of_axis);
  }

  // Windows over single channels stay with what they read; products take weights that are packed.
  bool gains(const Node& convolution) {
    const Windows moves = windows(convolution);
    const Node& weight = flow_.graph.node(convolution.operands[1]);
    if (moves.groups == 1) return weight.kind == NodeKind::kInput && weight.is_weight;
    const Dims& dims = flow_.graph.dims();
    return is_marked(convolution.operands[0]) && !moves.transposed &&
           dims.is_constant(weight.shape[1], 1) && dims.is_constant(weight.shape[0], moves.groups);
  }

  void kernel_step(const Kernel& kernel) {
    for (const KernelOutput& output : kernel.outputs) {
      const std::size_t rank = flow_.graph.node(output.value).shape.size();
      mark(output.value, std::ranges::any_of(kernel.inputs, [&](const KernelInput& input) {
             return is_marked(input.value) && flow_.graph.node(input.value).shape.size() == rank &&
                    runs_along(input, output);
           }));
    }
  }

  // Whether they lie alike: along each loop axis the same dimension, but for one along which elements are picked.
  static bool runs_along(const KernelInput& input, const KernelOutput& output) {
    for (std::size_t axis = 0; axis < input.dim_of_axis.size(); ++axis) {
      const int from = input.dim_of_axis[axis], to = output.dim_of_axis[axis];
      if (from != to && !(from < 0 && to == input.picked) && !(to < 0 && from > 1)) return false;
    }
    return true;
  }

  // Whether a reshape joins channels with what lies behind them, or deals out places: a tensor of this order would be copied.
  bool parts_channels(const Node& reshape) {
    const std::vector<Dim>& from = flow_.graph.node(reshape.operands[0]).shape;
    const std::vector<Dim>& to = reshape.shape;
    if (from.size() < 3 || to.size() < 2) return true;
    const Dims& dims = flow_.graph.dims();
    const auto same = [&](Dim a, Dim b) { return dims.find(a) == dims.find(b); };
    const bool keeps_first = same(from[0], to[0]) && same(from[1], to[1]);
    const auto places = static_cast<std::ptrdiff_t>(from.size()) - 2;
    const bool keeps_places = static_cast<std::ptrdiff_t>(to.size()) >= places &&
                              std::equal(from.end() - places, from.end(), to.end() - places, same);
    return !keeps_first && !keeps_places;
  }

  Flow& flow_;
};

}  // namespace

std::vector<int> channels_last(int rank) {
  std::vector<int> order(static_cast<std::size_t>(rank));
  std::iota(order.begin(), order.end(), 0);
  std::rotate(order.begin() + 1, order.begin() + 2, order.end());
  return order;
}

void choose_channel_order(Flow& flow) { ChannelOrder(flow).run(); }

}  // namespace dvm
