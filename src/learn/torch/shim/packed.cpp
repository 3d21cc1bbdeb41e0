// oneDNN's fused layers, which libtorch registers as `mkldnn::` operators for its compiler: convolution or linear layer, bias,
// sum and activation in one pass, with weights laid out once. Found by name, so that a libtorch without them gives an error.

#include <ATen/ATen.h>
#include <ATen/core/List.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <optional>
#include <string_view>
#include <vector>

#include "guard.h"

namespace {

using Scalars = c10::List<std::optional<at::Scalar>>;
using OptionalTensor = std::optional<at::Tensor>;

at::Tensor &tensor(void *pointer) { return *static_cast<at::Tensor *>(pointer); }

OptionalTensor optional(void *pointer) {
  return pointer == nullptr ? OptionalTensor() : OptionalTensor(tensor(pointer));
}

Scalars scalars(const double *values, int count) {
  Scalars list;
  for (int i = 0; i < count; i++) {
    list.push_back(std::optional<at::Scalar>(values[i]));
  }
  return list;
}

template <typename Signature> auto find(const char *name, const char *overload) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, overload).template typed<Signature>();
}

} // namespace

extern "C" {

// Whether this libtorch has oneDNN, and for bf16 whether the processor is fit for it.
int seedpipe_has_onednn() { return at::globalContext().hasMKLDNN() ? 1 : 0; }

// `*result` receives the weight in oneDNN's layout for inputs of that size `[B, C, H, W]`.
char *seedpipe_pack_convolution(void *weight, int64_t padding, int64_t stride, int64_t groups, const int64_t *input_size,
                                void **result) {
  return guarded([&] {
    using Reorder = at::Tensor(const at::Tensor &, at::IntArrayRef, at::IntArrayRef, at::IntArrayRef, int64_t,
                               at::OptionalIntArrayRef);
    static const auto reorder = find<Reorder>("mkldnn::_reorder_convolution_weight", "");
    const std::vector<int64_t> paddings{padding, padding}, strides{stride, stride}, dilations{1, 1};
    *result = new at::Tensor(
        reorder.call(tensor(weight), paddings, strides, dilations, groups, at::IntArrayRef(input_size, 4)));
  });
}

// Convolution with packed weight, then `attribute` (`none`, `relu` …) with its `values` and `algorithm`.
char *seedpipe_convolution(void *input, void *weight, void *bias, int64_t padding, int64_t stride, int64_t groups,
                           const char *attribute, const double *values, int value_count, const char *algorithm,
                           void **result) {
  return guarded([&] {
    using Pointwise = at::Tensor(const at::Tensor &, const at::Tensor &, const OptionalTensor &, at::IntArrayRef,
                                 at::IntArrayRef, at::IntArrayRef, int64_t, std::string_view, Scalars,
                                 std::optional<std::string_view>);
    static const auto pointwise = find<Pointwise>("mkldnn::_convolution_pointwise", "");
    const std::vector<int64_t> paddings{padding, padding}, strides{stride, stride}, dilations{1, 1};
    *result = new at::Tensor(pointwise.call(tensor(input), tensor(weight), optional(bias), paddings, strides, dilations,
                                            groups, attribute, scalars(values, value_count), algorithm));
  });
}

// Convolution with packed weight, plus `other`, then `attribute` (null: none). Overwrites `other` where `in_place`.
char *seedpipe_convolution_sum(void *other, int in_place, void *input, void *weight, void *bias, int64_t padding,
                               int64_t stride, int64_t groups, const char *attribute, void **result) {
  return guarded([&] {
    const std::vector<int64_t> paddings{padding, padding}, strides{stride, stride}, dilations{1, 1};
    const auto unary = attribute == nullptr ? std::optional<std::string_view>() : std::string_view(attribute);
    if (in_place != 0) {
      using InPlace = at::Tensor &(at::Tensor &, const at::Tensor &, const at::Tensor &, const OptionalTensor &,
                                   at::IntArrayRef, at::IntArrayRef, at::IntArrayRef, int64_t, std::string_view,
                                   std::optional<at::Scalar>, std::optional<std::string_view>, Scalars,
                                   std::optional<std::string_view>);
      static const auto sum = find<InPlace>("mkldnn::_convolution_pointwise_", "binary");
      *result = new at::Tensor(sum.call(tensor(other), tensor(input), tensor(weight), optional(bias), paddings, strides,
                                        dilations, groups, "add", at::Scalar(1.0), unary, Scalars(), std::nullopt));
      return;
    }
    using Apart = at::Tensor(const at::Tensor &, const at::Tensor &, const at::Tensor &, const OptionalTensor &,
                             at::IntArrayRef, at::IntArrayRef, at::IntArrayRef, int64_t, std::string_view,
                             std::optional<at::Scalar>, std::optional<std::string_view>, Scalars,
                             std::optional<std::string_view>);
    static const auto sum = find<Apart>("mkldnn::_convolution_pointwise", "binary");
    *result = new at::Tensor(sum.call(tensor(input), tensor(other), tensor(weight), optional(bias), paddings, strides,
                                      dilations, groups, "add", at::Scalar(1.0), unary, Scalars(), std::nullopt));
  });
}

// `*result` receives the weight `[outputs, inputs]` in oneDNN's layout for that many rows.
char *seedpipe_pack_linear(void *weight, int64_t rows, void **result) {
  return guarded([&] {
    using Reorder = at::Tensor(const at::Tensor &, std::optional<int64_t>);
    static const auto reorder = find<Reorder>("mkldnn::_reorder_linear_weight", "");
    *result = new at::Tensor(reorder.call(tensor(weight), rows));
  });
}

// Linear layer with packed weight, then `attribute` with its `algorithm`.
char *seedpipe_linear(void *input, void *weight, void *bias, const char *attribute, const char *algorithm, void **result) {
  return guarded([&] {
    using Pointwise = at::Tensor(const at::Tensor &, const at::Tensor &, const OptionalTensor &, std::string_view, Scalars,
                                 std::optional<std::string_view>);
    static const auto pointwise = find<Pointwise>("mkldnn::_linear_pointwise", "");
    *result = new at::Tensor(
        pointwise.call(tensor(input), tensor(weight), optional(bias), attribute, Scalars(), algorithm));
  });
}
}
