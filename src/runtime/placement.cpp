#include "runtime/placement.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "runtime/channel_order.h"

namespace dvm {

Placement::Placement(const Flow& flow, const DimValues& values)
    : flow_(flow), values_(values), tensors_(flow.tensors.size()) {}

void Placement::take_inputs(std::span<const TensorView> inputs) {
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    PlacedTensor& tensor = tensors_[i];
    tensor.place = {Place::kInput, static_cast<std::int32_t>(i), 0};
    tensor.placed = true;
    input_last_.push_back(flow_.tensors[i].last_step);
    tensor.layout.rank = inputs[i].rank;
    for (int k = 0; k < inputs[i].rank; ++k) {
      tensor.layout.sizes[k] = inputs[i].sizes[k];
      tensor.layout.strides[k] = inputs[i].strides[k];
    }
  }
}

void Placement::give_input(int input, std::size_t number) {
  given_.emplace_back(flow_.outputs[number].tensor, input);
}

int Placement::given_to(int tensor) const {
  const auto given = std::ranges::find(given_, tensor, &std::pair<int, int>::first);
  return given == given_.end() ? -1 : given->second;
}

void Placement::place_output(std::size_t number, const Layout& layout) {
  const Target& output = flow_.outputs[number];
  if (output.written < 0) return;
  if (const std::optional<Layout> written = written_layout(output, layout)) {
    tensors_[output.written] = {
        {Place::kOutput, static_cast<std::int32_t>(number), 0}, *written, true};
  }
}

const PlacedTensor& Placement::make(int number, int step) {
  PlacedTensor& tensor = tensors_[number];
  if (tensor.placed) return tensor;
  const FlowTensor& made = flow_.tensors[number];
  if (made.whole >= 0) {
    const Target& target = flow_.tensors[made.whole].parts[made.part];
    (void)make(made.whole, step);
    const PlacedTensor within = part(made.whole, made.part);
    if (const std::optional<Layout> written = written_layout(target, within.layout)) {
      keep(within.place, made.last_step);
      return tensor = {within.place, *written, true};
    }
  }
  const std::int64_t element = bytes(graph().node(made.value).type);
  const Node& node = graph().node(made.value);
  std::span<const int> order;
  if (node.kind == NodeKind::kAttention) order = std::span(node.axes).subspan(2);
  std::vector<int> turned;
  if (made.channels_last) order = turned = channels_last(static_cast<int>(node.shape.size()));
  tensor.layout = dense(sizes_of(made.value), element, order);
  tensor.place = scratch(tensor.layout.elements() * element, step);
  tensor.placed = true;
  keep(tensor.place, made.last_step);
  return tensor;
}

// The layout of the tensor that is made in a target whose view has the layout `wanted`.
std::optional<Layout> Placement::written_layout(const Target& target, const Layout& wanted) {
  std::optional<Layout> layout = wanted;
  for (int at = target.tensor; at != target.written; at = flow_.tensors[at].viewed) {
    const Node& node = graph().node(flow_.tensors[at].value);
    if (node.kind == NodeKind::kSlice) return std::nullopt;  // what is written is larger
    const std::span<const std::int64_t> sizes = sizes_of(node.operands[0]);
    if (node.kind == NodeKind::kPermute) {
      Layout before = *layout;
      for (int k = 0; k < layout->rank; ++k) {
        before.sizes[node.axes[k]] = layout->sizes[k];
        before.strides[node.axes[k]] = layout->strides[k];
      }
      layout = before;
    } else {
      std::int64_t count = 1;
      for (const std::int64_t size : sizes) count *= size;
      if (count != layout->elements()) return std::nullopt;  // an expansion repeats elements
      layout = reshape(*layout, sizes, bytes(node.type));
      if (!layout) return std::nullopt;
    }
  }
  return layout;
}

bool Placement::view(int number) {
  const Node& node = graph().node(flow_.tensors[number].value);
  const PlacedTensor& from = tensors_[flow_.tensors[number].viewed];
  PlacedTensor& to = tensors_[number];
  to.place = from.place;
  to.placed = true;
  if (node.kind == NodeKind::kPermute) {
    to.layout = permute(from.layout, node.axes);
  } else if (node.kind == NodeKind::kExpand) {
    to.layout = expand(from.layout, sizes_of(flow_.tensors[number].value));
  } else if (node.kind == NodeKind::kSlice) {
    slice(node, from.layout, to);
  } else {
    const std::span<const std::int64_t> sizes = sizes_of(flow_.tensors[number].value);
    check_reshape(from.layout, sizes);
    const std::optional<Layout> layout = reshape(from.layout, sizes, bytes(node.type));
    if (!layout) return false;
    to.layout = *layout;
  }
  keep(to.place, flow_.tensors[number].last_step);
  return true;
}

void Placement::slice(const Node& node, const Layout& from, PlacedTensor& to) const {
  const int axis = node.axes[0];
  const std::int64_t start = extent(node.dim), length = extent(node.shape[axis]);
  const std::int64_t step = node.axes[1], size = from.sizes[axis];
  if (length > 0 && start + (length - 1) * step >= size) {
    throw std::invalid_argument("[" + graph().name() + "] a slice of " + std::to_string(length) +
                                " elements from " + std::to_string(start) + " on, in steps of " +
                                std::to_string(step) + ", leaves axis " + std::to_string(axis) +
                                " of " + std::to_string(size) + " elements");
  }
  to.layout = from;
  to.layout.sizes[axis] = length;
  to.layout.strides[axis] = from.strides[axis] * step;
  if (length > 0) to.place.offset += start * from.strides[axis];
}

void Placement::check_reshape(const Layout& from, std::span<const std::int64_t> sizes) const {
  std::int64_t count = 1;
  for (const std::int64_t size : sizes) count *= size;
  if (count == from.elements()) return;
  const auto list = [](std::span<const std::int64_t> of) {
    std::string text = "[";
    for (std::size_t i = 0; i < of.size(); ++i) text += (i ? ", " : "") + std::to_string(of[i]);
    return text + "]";
  };
  throw std::invalid_argument("[" + graph().name() + "] cannot reshape " +
                              list({from.sizes, static_cast<std::size_t>(from.rank)}) + " to " +
                              list(sizes));
}

PlacedTensor Placement::part(int whole, std::size_t part) const {
  const Node& node = graph().node(flow_.tensors[whole].value);
  const int axis = node.axes[0];
  PlacedTensor within = tensors_[whole];
  for (std::size_t i = 0; i < part; ++i) {
    within.place.offset +=
        extent(graph().node(node.operands[i]).shape[axis]) * within.layout.strides[axis];
  }
  within.layout.sizes[axis] = extent(graph().node(node.operands[part]).shape[axis]);
  return within;
}

bool Placement::is_in_place(int whole, std::size_t number) const {
  const int written = flow_.tensors[whole].parts[number].written;
  if (written < 0) return false;
  const Place &mine = tensors_[written].place, &wanted = part(whole, number).place;
  return mine.kind == wanted.kind && mine.index == wanted.index;
}

void Placement::keep(const Place& place, int step) {
  if (place.kind == Place::kArena) blocks_.use(place.index, step);
  if (place.kind == Place::kInput)
    input_last_[place.index] = std::max(input_last_[place.index], step);
}

void Placement::overwrite(int tensor, const Place& place) {
  blocks_.drop(tensors_[tensor].place.index);
  tensors_[tensor].place = place;
  keep(place, flow_.tensors[tensor].last_step);
}

void Placement::settle(Place& place) const {
  if (place.kind != Place::kArena) return;
  place.offset += blocks_.offset(place.index);
  place.index = 0;
}

std::span<const std::int64_t> Placement::sizes_of(Value value) {
  const std::vector<Dim>& shape = graph().node(value).shape;
  if (shape.size() > kMaxRank)
    throw std::invalid_argument("[" + graph().name() + "] more than 16 dimensions");
  for (std::size_t i = 0; i < shape.size(); ++i) sizes_[i] = extent(shape[i]);
  return {sizes_, shape.size()};
}

std::int64_t Placement::extent(Dim dim) const {
  const std::int64_t value = values_.get(dim);
  if (value < 0) {
    throw std::invalid_argument("[" + graph().name() + "] dimension " + graph().dims().text(dim) +
                                " would be negative for these inputs");
  }
  return value;
}

}  // namespace dvm
