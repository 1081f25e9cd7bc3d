#include "python/out.h"

#include <algorithm>

namespace dvm::python {
namespace {

struct Extent {
  const char* begin;
  const char* end;
  bool overlaps(const Extent& other) const { return begin < other.end && other.begin < end; }
};

// The bytes between the first and the last element; none if there is no element.
Extent extent(const TensorView& view) {
  const char* begin = static_cast<const char*>(view.data);
  const char* end = begin + bytes(view.type);
  for (int i = 0; i < view.rank; ++i) {
    if (view.sizes[i] == 0) return {begin, begin};
    const std::int64_t reach = (view.sizes[i] - 1) * view.strides[i];
    (reach < 0 ? begin : end) += reach;
  }
  return {begin, end};
}

std::string shape_text(const std::int64_t* sizes, int rank) {
  std::string text = "(";
  for (int i = 0; i < rank; ++i) text += (i ? ", " : "") + std::to_string(sizes[i]);
  return text + ")";
}

}  // namespace

Out::Out(const Graph& graph, PyObject* out) : graph_(graph), object_(nb::borrow(out)) {
  const std::size_t wanted = graph.outputs().size();
  if (PyTuple_Check(out) || PyList_Check(out)) {
    for (const nb::handle item : object_) tensors_.push_back(nb::borrow(item));
  } else {
    tensors_.push_back(object_);
  }
  if (tensors_.size() != wanted) {
    throw nb::value_error(("[out] " + std::to_string(tensors_.size()) + " tensors came, " +
                           graph.name() + " has " + std::to_string(wanted) + " results")
                              .c_str());
  }
  borrowed_ = std::make_unique<Borrowed[]>(wanted);
  for (std::size_t i = 0; i < wanted; ++i) {
    const std::string name = std::to_string(i);
    borrowed_[i].take(tensors_[i].ptr(), {graph.name(), "out", name}, true);
    views_.push_back(borrowed_[i].view());
  }
}

void Out::check(const LaunchPlan& plan, std::span<const TensorView> inputs) const {
  for (std::size_t i = 0; i < views_.size(); ++i) {
    const OutputPlan& wanted = plan.outputs[i];
    const TensorView& out = views_[i];
    if (out.type != wanted.type) {
      fail(i, "is " + std::string(info(out.type).text) + ", the result is " +
                  std::string(info(wanted.type).text));
    }
    if (!std::equal(out.sizes, out.sizes + out.rank, wanted.layout.sizes,
                    wanted.layout.sizes + wanted.layout.rank)) {
      fail(i, "has shape " + shape_text(out.sizes, out.rank) + ", the result has " +
                  shape_text(wanted.layout.sizes, wanted.layout.rank));
    }
    const bool empty = std::find(out.sizes, out.sizes + out.rank, 0) != out.sizes + out.rank;
    for (int k = 0; k < out.rank && !empty; ++k) {
      if (out.sizes[k] > 1 && out.strides[k] == 0) fail(i, "has elements that share their memory");
    }
    const Extent written = extent(out);
    for (std::size_t j = 0; j < inputs.size(); ++j) {
      if (written.overlaps(extent(inputs[j])))
        fail(i, "overlaps input " + graph_.node(graph_.inputs()[j]).name);
    }
    for (std::size_t j = 0; j < i; ++j) {
      if (written.overlaps(extent(views_[j]))) fail(i, "overlaps result " + std::to_string(j));
    }
  }
}

bool Out::follows(const LaunchPlan& plan) const {
  for (std::size_t i = 0; i < views_.size(); ++i) {
    for (int k = 0; k < views_[i].rank; ++k) {
      if (views_[i].sizes[k] != 1 && views_[i].strides[k] != plan.outputs[i].layout.strides[k])
        return false;
    }
  }
  return true;
}

void Out::fail(std::size_t number, const std::string& what) const {
  throw nb::value_error(("[out] the tensor for result " + std::to_string(number) + " of " +
                         graph_.name() + " " + what)
                            .c_str());
}

}  // namespace dvm::python
