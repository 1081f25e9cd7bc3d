// A Graph as text, one value on a line; parse.cpp reads it back.
#include <bit>
#include <charconv>
#include <cmath>
#include <limits>

#include "graph/text.h"
#include "graph/windows.h"

namespace dvm {
namespace {

template <class T>
std::string number(T value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char text[64];
  const auto end = std::to_chars(text, text + sizeof(text), value).ptr;
  return std::string(text, end);
}

std::string constant_text(const Node& node) {
  switch (compute(node.type)) {
    case Type::f32:
      return number(std::bit_cast<float>(static_cast<std::uint32_t>(node.bits)));
    case Type::f64:
      return number(std::bit_cast<double>(node.bits));
    case Type::i32:
      return std::to_string(static_cast<std::int32_t>(node.bits));
    default:
      return std::to_string(static_cast<std::int64_t>(node.bits));
  }
}

template <class List, class Text>
std::string join(const List& list, Text text) {
  std::string joined;
  for (const auto& item : list) joined += (joined.empty() ? "" : ", ") + text(item);
  return joined;
}

std::string ref(Value value) { return "%" + std::to_string(value); }
std::string axes_text(const std::vector<int>& axes) {
  return "[" + join(axes, [](int axis) { return std::to_string(axis); }) + "]";
}

std::string windows_text(const Windows& windows) {
  std::vector<int> padding = windows.before;
  padding.insert(padding.end(), windows.after.begin(), windows.after.end());
  return (windows.taps.empty() ? "" : "taps=" + axes_text(windows.taps) + ", ") +
         "stride=" + axes_text(windows.stride) + ", padding=" + axes_text(padding) +
         ", dilation=" + axes_text(windows.dilation) +
         (windows.groups == 1 ? "" : ", groups=" + std::to_string(windows.groups)) +
         (windows.transposed ? ", transposed=1" : "");
}

std::string operation_text(const Graph& graph, const Node& node) {
  const std::string operands = join(node.operands, ref);
  switch (node.kind) {
    case NodeKind::kInput:
      return (node.is_weight ? "weight " : "input ") + node.name;
    case NodeKind::kScalar:
      return "scalar " + node.name;
    case NodeKind::kConstant:
      return "constant(" + constant_text(node) + ")";
    case NodeKind::kSize:
      return "size(" + graph.dims().text(node.dim) + ")";
    case NodeKind::kIota:
      return "iota(axes=" + axes_text(node.axes) + ")";
    case NodeKind::kElementwise:
      return std::string(info(node.op).name) + "(" + operands + ")";
    case NodeKind::kCast:
      return "cast(" + operands + ")";
    case NodeKind::kReduce:
      return std::string(info(node.op).name) + "(" + operands + ", axes=" + axes_text(node.axes) +
             ")";
    case NodeKind::kPermute:
      return "permute(" + operands + ", axes=" + axes_text(node.axes) + ")";
    case NodeKind::kExpand:
      return "expand(" + operands + ")";
    case NodeKind::kReshape:
      return "reshape(" + operands + ")";
    case NodeKind::kSlice:
      return "slice(" + operands + ", axes=" + axes_text({node.axes[0]}) +
             ", start=" + graph.dims().text(node.dim) + ", step=" + std::to_string(node.axes[1]) +
             ")";
    case NodeKind::kGather:
      return "gather(" + operands + ", axes=" + axes_text(node.axes) + ")";
    case NodeKind::kAttention:
      return "attention(" + operands + ", axes=" + axes_text(node.axes) +
             ", scale=" + number(node.number) + ", hidden=" + number(scoring(node).hidden) + ")";
    case NodeKind::kMatmul:
      return "matmul(" + operands + (node.axes.empty() ? "" : ", axes=" + axes_text(node.axes)) +
             ")";
    case NodeKind::kConvolve:
      return "convolve(" + operands + ", " + windows_text(windows(node)) + ")";
    case NodeKind::kPool:
      return std::string(info(node.op).name) + "_pool(" + operands + ", " +
             windows_text(windows(node)) + ")";
    case NodeKind::kScan:
      return std::string(info(node.op).name) + "_scan(" + operands +
             ", axes=" + axes_text(node.axes) + ")";
    case NodeKind::kConcat:
      return "concat(" + operands + ", axes=" + axes_text(node.axes) + ")";
  }
  return "";
}

// A message on one line, quotes and backslashes marked.
std::string quoted(const std::string& message) {
  std::string text = "\"";
  for (const char c : message) {
    if (c == '"' || c == '\\') text += '\\';
    text += c == '\n' ? ' ' : c;
  }
  return text + "\"";
}

}  // namespace

std::string shape_text(const Dims& dims, const std::vector<Dim>& shape) {
  return "[" + join(shape, [&](Dim dim) { return dims.text(dim); }) + "]";
}

std::string type_text(const Graph& graph, const Node& node) {
  return std::string(info(node.type).text) + shape_text(graph.dims(), node.shape);
}

std::string print(const Graph& graph) {
  std::string text = "graph " + graph.name() + " {\n";
  // Facts stand where they were stated, so that symbols are met in the same order.
  auto fact = graph.facts().stated().begin();
  const auto facts_until = [&](int position) {
    for (; fact != graph.facts().stated().end() && fact->position <= position; ++fact) {
      if (fact->given) text += "  fact " + dvm::text(graph.dims(), *fact) + "\n";
    }
  };
  for (std::size_t i = 0; i < graph.nodes().size(); ++i) {
    facts_until(static_cast<int>(i));
    const Node& node = graph.nodes()[i];
    text += "  " + ref(static_cast<Value>(i)) + " = " + operation_text(graph, node) + " : " +
            type_text(graph, node) + "\n";
  }
  facts_until(std::numeric_limits<int>::max());
  for (const Check& check : graph.checks())
    text += "  check " + ref(check.condition) + " " + quoted(check.message) + "\n";
  text += "  return ";
  for (std::size_t i = 0; i < graph.outputs().size(); ++i) {
    text += (i ? ", " : "") + ref(graph.outputs()[i]);
    if (!graph.orders()[i].empty()) text += " order=" + axes_text(graph.orders()[i]);
  }
  return text + "\n}\n";
}

}  // namespace dvm
