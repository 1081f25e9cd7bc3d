#include "fuse/lower.h"

#include <algorithm>
#include <map>
#include <utility>

namespace dvm {
namespace {

class Lowering {
 public:
  Lowering(const Graph& graph, const Grouping& grouping, int group)
      : graph_(graph), grouping_(grouping), group_(grouping.group(group)), index_(group) {}

  Kernel run() {
    kernel_.axes = group_.axes;
    kernel_.reduced = group_.reduced;
    for (const Value member : group_.members) terms_[member] = term(member);
    for (const Value member : group_.members) {
      if (!grouping_.needed_outside(member)) continue;
      const Type type = graph_.node(member).type;
      kernel_.outputs.push_back(
          {member, stored(terms_.at(member), type), type, dim_of_axis(grouping_.axes(member))});
    }
    name();
    combine(kernel_);
    return std::move(kernel_);
  }

 private:
  // A store rounds and wraps by itself.
  std::int32_t stored(std::int32_t term, Type type) const {
    const Op op = kernel_.terms[term].op;
    const bool twice =
        (op == Op::round_f16 && type == Type::f16) ||
        (op == Op::round_bf16 && type == Type::bf16) || (op == Op::wrap_i8 && type == Type::i8) ||
        (op == Op::wrap_u8 && type == Type::u8) || (op == Op::wrap_i16 && type == Type::i16);
    return twice ? kernel_.terms[term].operands[0] : term;
  }

  std::int32_t add(Term term) {
    for (const std::int32_t operand : term.operands) {
      if (operand >= 0) term.level = std::max(term.level, kernel_.terms[operand].level);
    }
    term.level += term.kind == TermKind::kReduce ? 1 : 0;
    kernel_.terms.push_back(term);
    return static_cast<std::int32_t>(kernel_.terms.size()) - 1;
  }

  std::int32_t elementwise(Op op, Type type, std::initializer_list<std::int32_t> operands) {
    Term term{.kind = TermKind::kElementwise, .op = op, .type = compute(result_type(op, type))};
    int i = 0;
    for (const std::int32_t operand : operands) {
      term.operands[i++] = operand;
      term.mask |= kernel_.terms[operand].mask;
    }
    return add(term);
  }

  std::int32_t term(Value member) {
    const Node& node = graph_.node(member);
    switch (node.kind) {
      case NodeKind::kIota:
        return iota(member);
      case NodeKind::kElementwise:
        return operation(member);
      case NodeKind::kCast:
        return convert(operand(member, 0), graph_.node(node.operands[0]).type, node.type);
      case NodeKind::kReduce:
        return reduction(member);
      case NodeKind::kGather:
        return gather(member);
      default:
        return leaf(member);
    }
  }

  std::int32_t operation(Value member) {
    const Node& node = graph_.node(member);
    const Type type = compute(graph_.node(node.operands.back()).type);
    Term term{.kind = TermKind::kElementwise, .op = node.op, .type = compute(node.type)};
    for (std::size_t i = 0; i < node.operands.size(); ++i) {
      term.operands[i] = operand(member, static_cast<int>(i));
      term.mask |= kernel_.terms[term.operands[i]].mask;
    }
    if (divides_by_reduction(term)) {
      // One division per row and a multiplication per element, at most one more rounding.
      term.operands[1] = elementwise(Op::reciprocal, type, {term.operands[1]});
      term.op = Op::mul;
    }
    const std::int32_t made = add(term);
    return (info(node.op).properties & kWraps) && compute(node.type) == type ? wrap(made, node.type)
                                                                             : made;
  }

  std::int32_t gather(Value member) {
    const Root root = grouping_.reads(member)[0];
    const auto picked = std::ranges::find(root.axes, kPicked);
    if (picked == root.axes.end()) return operand(member, 0);  // there is one element to pick
    const Type type = graph_.node(root.value).type;
    Term term{.kind = TermKind::kElementwise, .op = Op::gather, .type = compute(type)};
    term.operands[0] = operand(member, 1);
    term.index = static_cast<int>(kernel_.inputs.size());
    term.mask = kernel_.terms[term.operands[0]].mask;
    for (const int axis : root.axes) term.mask |= axis < 0 ? 0u : 1u << axis;
    kernel_.inputs.push_back(
        {root.value, type, dim_of_axis(root.axes), static_cast<int>(picked - root.axes.begin())});
    return add(term);
  }

  bool divides_by_reduction(const Term& term) const {
    if (term.op != Op::div) return false;
    const Term& a = kernel_.terms[term.operands[0]];
    const Term& b = kernel_.terms[term.operands[1]];
    return b.level > 0 && (a.mask & kernel_.reduced) != 0 && (b.mask & kernel_.reduced) == 0;
  }

  std::int32_t reduction(Value member) {
    const Node& node = graph_.node(member);
    const std::int32_t source = operand(member, 0);
    const Type type = kernel_.terms[source].type;
    // A Kernel that reduces may still hold a reduction over nothing but dimensions of size 1.
    const AxisMap& axes = grouping_.operand_axes(member);
    const bool runs = std::ranges::any_of(node.axes, [&](int axis) { return axes[axis] >= 0; });
    if (!runs) return reduce_one_element(node.op, type, source);
    Term term{.kind = TermKind::kReduce, .op = node.op, .type = compute(node.type)};
    term.mask = ((1u << kernel_.axes.size()) - 1) & ~kernel_.reduced;
    term.operands[0] = source;
    const std::int32_t made = add(term);
    // Sums and products leave the range of a narrow integer; the extremes and logic do not.
    return node.op == Op::sum || node.op == Op::prod ? wrap(made, node.type) : made;
  }

  // All reduced dimensions have size 1: what is left of the reduction.
  std::int32_t reduce_one_element(Op op, Type type, std::int32_t source) {
    if (op == Op::argmax || op == Op::argmin)
      return add({.kind = TermKind::kConstant, .type = Type::i64});
    return op == Op::sum_squares ? elementwise(Op::square, type, {source}) : source;
  }

  std::int32_t iota(Value member) {
    const Node& node = graph_.node(member);
    const int axis = grouping_.axes(member)[node.axes[0]];
    if (axis < 0) return add({.kind = TermKind::kConstant, .type = Type::i64});
    return add({.kind = TermKind::kIota, .type = Type::i64, .mask = 1u << axis, .index = axis});
  }

  std::int32_t leaf(Value value) {
    const auto found = terms_.find(value);
    if (found != terms_.end()) return found->second;
    const Node& node = graph_.node(value);
    Term term{.kind = TermKind::kConstant, .type = compute(node.type), .bits = node.bits};
    if (node.kind == NodeKind::kScalar) {
      term.kind = TermKind::kScalar;
      term.index = static_cast<int>(kernel_.scalars.size());
      kernel_.scalars.push_back(value);
    } else if (node.kind == NodeKind::kSize) {
      term.kind = TermKind::kSize;
      term.dim = node.dim;
    }
    return terms_[value] = add(term);
  }

  std::int32_t operand(Value member, int i) {
    const Root root = grouping_.reads(member)[i];
    if (is_leaf(graph_.node(root.value))) return leaf(root.value);
    if (grouping_.group_of(root.value) == index_) return terms_.at(root.value);
    return load(root);
  }

  std::int32_t load(const Root& root) {
    const auto [it, fresh] = loads_.try_emplace({root.value, root.axes}, 0);
    if (!fresh) return it->second;
    const Type type = graph_.node(root.value).type;
    Term term{.kind = TermKind::kLoad,
              .type = compute(type),
              .index = static_cast<int>(kernel_.inputs.size())};
    for (const int axis : root.axes) term.mask |= axis < 0 ? 0u : 1u << axis;
    kernel_.inputs.push_back({root.value, type, dim_of_axis(root.axes)});
    return it->second = add(term);
  }

  // Values of a storage type are kept in its compute type; a cast still has to round or wrap.
  std::int32_t convert(std::int32_t source, Type from, Type to) {
    if (from == to) return source;
    const Type a = compute(from);
    const Type b = compute(to);
    std::int32_t made = source;
    if (a != b) {
      const Op op = b == Type::f32   ? Op::to_f32
                    : b == Type::f64 ? Op::to_f64
                    : b == Type::i32 ? Op::to_i32
                    : b == Type::i64 ? Op::to_i64
                                     : Op::to_bool;
      made = elementwise(op, a, {source});
    }
    const bool widens = from == Type::bool_ || (from == Type::u8 && to == Type::i16) ||
                        (from == Type::i8 && to == Type::i16);
    return widens ? made : narrow(made, to);
  }

  // Back into the range of a narrow integer. Half floats are not rounded between two operations.
  std::int32_t wrap(std::int32_t source, Type to) {
    return info(to).kind == Kind::kInteger ? narrow(source, to) : source;
  }

  std::int32_t narrow(std::int32_t source, Type to) {
    switch (to) {
      case Type::f16:
        return elementwise(Op::round_f16, Type::f32, {source});
      case Type::bf16:
        return elementwise(Op::round_bf16, Type::f32, {source});
      case Type::i8:
        return elementwise(Op::wrap_i8, Type::i32, {source});
      case Type::u8:
        return elementwise(Op::wrap_u8, Type::i32, {source});
      case Type::i16:
        return elementwise(Op::wrap_i16, Type::i32, {source});
      default:
        return source;
    }
  }

  std::vector<int> dim_of_axis(const AxisMap& axes) const {
    std::vector<int> dims(kernel_.axes.size(), -1);
    for (std::size_t i = 0; i < axes.size(); ++i) {
      if (axes[i] >= 0) dims[axes[i]] = static_cast<int>(i);
    }
    return dims;
  }

  void name() {
    constexpr std::size_t kNamed = 8;
    std::size_t named = 0;
    for (const Value member : group_.members) {
      const Node& node = graph_.node(member);
      if (named++ == kNamed) {
        kernel_.name += "_and_" + std::to_string(group_.members.size() - kNamed) + "_more";
        break;
      }
      const std::string_view op = node.kind == NodeKind::kCast     ? info(node.type).text
                                  : node.kind == NodeKind::kIota   ? std::string_view("iota")
                                  : node.kind == NodeKind::kGather ? std::string_view("gather")
                                  : node.op == Op::kCount          ? std::string_view("full")
                                                                   : info(node.op).name;
      kernel_.name += (kernel_.name.empty() ? "" : "_") + std::string(op);
    }
  }

  const Graph& graph_;
  const Grouping& grouping_;
  const Group& group_;
  int index_;
  Kernel kernel_;
  std::map<Value, std::int32_t> terms_;
  std::map<std::pair<Value, AxisMap>, std::int32_t> loads_;
};

}  // namespace

Kernel lower(const Graph& graph, const Grouping& grouping, int group) {
  return Lowering(graph, grouping, group).run();
}

}  // namespace dvm
