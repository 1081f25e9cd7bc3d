#include "symbols/dim.h"

#include <cctype>
#include <stdexcept>

namespace dvm {
namespace {

constexpr char symbol_of(DimOp op) {
  switch (op) {
    case DimOp::kAdd:
      return '+';
    case DimOp::kMul:
      return '*';
    case DimOp::kMod:
      return '%';
    default:
      return '/';
  }
}

std::int64_t floor_div(std::int64_t a, std::int64_t b) {
  const std::int64_t q = a / b;
  return (a % b != 0 && (a < 0) != (b < 0)) ? q - 1 : q;
}

// Recursive descent over `expr := atom | '(' expr op expr ')'`, and without parentheses at the top.
class DimParser {
 public:
  DimParser(Dims& dims, const std::string& text) : dims_(dims), text_(text) {}

  Dim parse() {
    Dim dim = term();
    while (true) {
      skip();
      if (at_ == text_.size()) return dim;
      dim = rest(dim);
    }
  }

 private:
  Dim term() {
    skip();
    if (at_ < text_.size() && text_[at_] == '(') {
      ++at_;
      Dim dim = term();
      for (skip(); at_ < text_.size() && text_[at_] != ')'; skip()) dim = rest(dim);
      if (at_ == text_.size()) fail("a closing parenthesis");
      ++at_;
      return dim;
    }
    const std::size_t begin = at_;
    if (at_ < text_.size() && text_[at_] == '-') ++at_;
    while (at_ < text_.size() &&
           (std::isalnum(static_cast<unsigned char>(text_[at_])) || text_[at_] == '_'))
      ++at_;
    if (begin == at_) fail("a number or a name");
    const std::string word = text_.substr(begin, at_ - begin);
    const bool number = word.find_first_not_of("-0123456789") == std::string::npos;
    return number ? dims_.constant(std::stoll(word)) : dims_.symbol(word);
  }

  Dim rest(Dim left) {
    const char c = text_[at_];
    ++at_;
    switch (c) {
      case '+':
        return dims_.binary(DimOp::kAdd, left, term());
      case '*':
        return dims_.binary(DimOp::kMul, left, term());
      case '%':
        return dims_.binary(DimOp::kMod, left, term());
      case '/':
        if (at_ < text_.size() && text_[at_] == '/') ++at_;
        return dims_.binary(DimOp::kFloorDiv, left, term());
      default:
        fail("one of + * // %");
    }
  }

  void skip() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
  }

  [[noreturn]] void fail(const char* wanted) const {
    throw std::invalid_argument("[dim] cannot read \"" + text_ + "\" at character " +
                                std::to_string(at_) + ": wanted " + wanted);
  }

  Dims& dims_;
  const std::string& text_;
  std::size_t at_ = 0;
};

}  // namespace

std::int64_t apply(DimOp op, std::int64_t a, std::int64_t b) {
  switch (op) {
    case DimOp::kAdd:
      return a + b;
    case DimOp::kMul:
      return a * b;
    case DimOp::kFloorDiv:
      return b == 0 ? 0 : floor_div(a, b);
    case DimOp::kMod:
      return b == 0 ? 0 : a - b * floor_div(a, b);
    default:
      return 0;
  }
}

Dim Dims::intern(Node node, const std::string& key) {
  const auto [it, fresh] = interned_.try_emplace(key, static_cast<Dim>(nodes_.size()));
  if (fresh) {
    nodes_.push_back(std::move(node));
    parent_.push_back(it->second);
  }
  return it->second;
}

Dim Dims::constant(std::int64_t value) {
  return intern({DimOp::kConstant, value, -1, -1, {}}, std::to_string(value));
}

Dim Dims::symbol(const std::string& name) {
  return intern({DimOp::kSymbol, 0, -1, -1, name}, name);
}

Dim Dims::binary(DimOp op, Dim a, Dim b) {
  a = find(a);
  b = find(b);
  const bool commutes = op == DimOp::kAdd || op == DimOp::kMul;
  if (is_constant(a) && is_constant(b)) return constant(apply(op, value(a), value(b)));
  if (commutes && (is_constant(a) || (!is_constant(b) && b < a))) std::swap(a, b);
  if (op == DimOp::kAdd && is_constant(b, 0)) return a;
  if (op == DimOp::kMul && is_constant(b, 1)) return a;
  if (op == DimOp::kMul && is_constant(b, 0)) return b;
  if (op == DimOp::kFloorDiv && is_constant(b, 1)) return a;
  const std::string key =
      std::string("(") + std::to_string(a) + symbol_of(op) + std::to_string(b) + ")";
  return intern({op, 0, a, b, {}}, key);
}

Dim Dims::find(Dim dim) const {
  while (parent_[dim] != dim) dim = parent_[dim];
  return dim;
}

bool Dims::unify(Dim a, Dim b) {
  a = find(a);
  b = find(b);
  if (a == b) return true;
  if (nodes_[a].op == DimOp::kConstant && nodes_[b].op == DimOp::kConstant) return false;
  // A constant represents its class, then the symbol, then what came first.
  const auto rank = [&](Dim dim) {
    return nodes_[dim].op == DimOp::kConstant ? 0 : nodes_[dim].op == DimOp::kSymbol ? 1 : 2;
  };
  if (rank(b) < rank(a) || (rank(a) == rank(b) && b < a)) std::swap(a, b);
  parent_[b] = a;
  return true;
}

std::string Dims::text(Dim dim) const {
  const Node& node = nodes_[find(dim)];
  switch (node.op) {
    case DimOp::kConstant:
      return std::to_string(node.value);
    case DimOp::kSymbol:
      return node.name;
    case DimOp::kFloorDiv:
      return "(" + text(node.a) + "//" + text(node.b) + ")";
    default:
      return "(" + text(node.a) + symbol_of(node.op) + text(node.b) + ")";
  }
}

Dim Dims::parse(const std::string& text) { return DimParser(*this, text).parse(); }

bool DimValues::bind(Dim dim, std::int64_t value) {
  dim = dims_->find(dim);
  const std::int64_t known = get(dim);
  if (known != kUnknown) return known == value;
  values_[dim] = value;
  return true;
}

std::int64_t DimValues::get(Dim dim) const {
  dim = dims_->find(dim);
  if (values_[dim] != kUnknown) return values_[dim];
  const Dims::Node& node = dims_->node(dim);
  if (node.op == DimOp::kConstant) return values_[dim] = node.value;
  if (node.op == DimOp::kSymbol) return kUnknown;
  const std::int64_t a = get(node.a);
  const std::int64_t b = get(node.b);
  if (a == kUnknown || b == kUnknown) return kUnknown;
  return values_[dim] = apply(node.op, a, b);
}

}  // namespace dvm
