// The text of a dimension: what people read, Graph text holds and frontends write.
#include <algorithm>
#include <cctype>
#include <charconv>
#include <functional>
#include <stdexcept>

#include "symbols/dim.h"

namespace dvm {
namespace {

constexpr int kMaxDepth = 200;

const char* symbol_of(DimOp op) {
  constexpr const char* kSymbols[] = {"+", "-", "*", "//", "%", "min", "max"};
  return kSymbols[static_cast<int>(op)];
}

// sum := product (('+' | '-') product)*, product := factor (('*' | '//' | '%') factor)*,
// factor := '-' factor | number | name | ('min' | 'max') '(' sum (',' sum)* ')' | '(' sum ')'
class DimParser {
 public:
  DimParser(Dims& dims, const std::string& text) : dims_(dims), text_(text) {}

  Dim parse() {
    const Dim dim = sum();
    if (at_ < text_.size()) fail("one of + - * // %");
    return dim;
  }

 private:
  Dim sum() {
    Dim left = product();
    while (true) {
      if (accept("+")) {
        left = dims_.binary(DimOp::kAdd, left, product());
      } else if (accept("-")) {
        left = dims_.binary(DimOp::kSubtract, left, product());
      } else {
        return left;
      }
    }
  }

  Dim product() {
    Dim left = factor();
    while (true) {
      if (accept("*")) {
        left = dims_.binary(DimOp::kMultiply, left, factor());
      } else if (accept("//") || accept("/")) {
        left = dims_.binary(DimOp::kFloorDiv, left, factor());
      } else if (accept("%")) {
        left = dims_.binary(DimOp::kMod, left, factor());
      } else {
        return left;
      }
    }
  }

  Dim factor() {
    if (++depth_ > kMaxDepth) fail("fewer nested parentheses");
    const Dim dim = atom();
    --depth_;
    return dim;
  }

  Dim atom() {
    skip();
    const std::size_t begin = at_;
    const bool minus = accept("-");
    const std::string word = this->word();
    if (!word.empty() && std::isdigit(static_cast<unsigned char>(word[0])))
      return number((minus ? "-" : "") + word, begin);
    if (minus) {
      at_ = begin + 1;
      return dims_.binary(DimOp::kMultiply, factor(), dims_.constant(-1));
    }
    if (!word.empty()) {
      if ((word == "min" || word == "max") && accept("(")) return extreme(word);
      return dims_.symbol(word);
    }
    if (!accept("(")) fail("a number or a name");
    const Dim dim = sum();
    if (!accept(")")) fail(at_ == text_.size() ? "a closing parenthesis" : "one of + - * // %");
    return dim;
  }

  Dim number(const std::string& digits, std::size_t begin) {
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc() || end != digits.data() + digits.size()) {
      at_ = begin;
      fail("a number of 64 bits");
    }
    return dims_.constant(value);
  }

  Dim extreme(const std::string& name) {
    Dim dim = sum();
    while (accept(",")) dim = dims_.binary(name == "min" ? DimOp::kMin : DimOp::kMax, dim, sum());
    if (!accept(")")) fail("a comma or a closing parenthesis");
    return dim;
  }

  std::string word() {
    skip();
    const std::size_t begin = at_;
    while (at_ < text_.size() &&
           (std::isalnum(static_cast<unsigned char>(text_[at_])) || text_[at_] == '_'))
      ++at_;
    return text_.substr(begin, at_ - begin);
  }

  bool accept(const char* token) {
    skip();
    const std::size_t length = std::char_traits<char>::length(token);
    if (text_.compare(at_, length, token) != 0) return false;
    at_ += length;
    return true;
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
  int depth_ = 0;
};

using Text = std::function<std::string(Dim)>;

// The atoms by name, each product's factor last: the same text whatever was made first.
std::string polynomial_text(const Polynomial& polynomial, const Text& text) {
  struct Part {
    std::string text;
    std::size_t degree;
    bool minus;
  };
  std::vector<Part> parts;
  for (const Monomial& term : polynomial) {
    std::vector<std::string> factors;
    for (const Dim atom : term.atoms) factors.push_back(text(atom));
    std::ranges::sort(factors);
    std::string joined;
    for (const std::string& factor : factors) joined += (joined.empty() ? "" : "*") + factor;
    const bool minus = term.factor < 0 && polynomial.size() > 1 && term.factor != INT64_MIN;
    const std::int64_t factor = minus ? -term.factor : term.factor;
    if (factor != 1 || factors.empty())
      joined += (joined.empty() ? "" : "*") + std::to_string(factor);
    parts.push_back({std::move(joined), factors.size(), minus});
  }
  std::ranges::sort(parts, [](const Part& a, const Part& b) {
    if (a.minus != b.minus) return b.minus;
    if (a.degree != b.degree) return a.degree > b.degree;
    return a.text < b.text;
  });
  std::string sum;
  for (const Part& part : parts) {
    if (part.minus) {
      sum += "-";
      sum += part.text;
    } else {
      sum += (sum.empty() ? "" : "+") + part.text;
    }
  }
  return "(" + sum + ")";
}

// Of nested min or max, which are one list.
void extremes(const Dims& dims, Dim dim, DimOp op, const Text& text,
              std::vector<std::string>& found) {
  const Dims::Node& node = dims.node(dim);
  if (node.kind != DimKind::kOperation || node.op != op) return found.push_back(text(dim));
  extremes(dims, node.a, op, text, found);
  extremes(dims, node.b, op, text, found);
}

std::string node_text(const Dims& dims, Dim dim, const Text& text) {
  const Dims::Node& node = dims.node(dim);
  switch (node.kind) {
    case DimKind::kConstant:
      return std::to_string(node.value);
    case DimKind::kSymbol:
      return node.name;
    case DimKind::kPolynomial:
      return polynomial_text(node.terms, text);
    default:
      break;
  }
  const std::string symbol = symbol_of(node.op);
  if (node.op == DimOp::kMin || node.op == DimOp::kMax) {
    std::vector<std::string> found;
    extremes(dims, dim, node.op, text, found);
    std::ranges::sort(found);
    std::string joined;
    for (const std::string& argument : found) joined += (joined.empty() ? "" : ",") + argument;
    return symbol + "(" + joined + ")";
  }
  std::string a = text(node.a), b = text(node.b);
  const bool commutes = node.op == DimOp::kAdd || node.op == DimOp::kMultiply;
  if (commutes && b < a) std::swap(a, b);
  return "(" + a + symbol + b + ")";
}

}  // namespace

std::string Dims::text(Dim dim) const {
  dim = find(dim);
  if (nodes_[dim].kind != DimKind::kConstant && name_[dim] >= 0) return nodes_[name_[dim]].name;
  return node_text(*this, dim, [this](Dim part) { return text(part); });
}

std::string Dims::written(Dim dim) const {
  return node_text(*this, dim, [this](Dim part) { return written(part); });
}

Dim Dims::parse(const std::string& text) {
  const auto found = parsed_.find(text);
  if (found != parsed_.end()) return found->second;
  const Dim dim = DimParser(*this, text).parse();
  parsed_.emplace(text, dim);
  return dim;
}

}  // namespace dvm
