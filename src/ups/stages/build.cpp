#include "ups/stages/build.h"

#include "ups/core/error.h"

namespace ups::stages {

std::unique_ptr<models::FieldModel> build_net(const FieldSpace& space, const NetSpec& spec, const NetOptions& o) {
  const auto& info = space.info();
  if (info.grid.size() > 2)
    throw data_error(info.name, std::to_string(info.grid.size()) + "-D fields are not supported by the models yet", "use 1-D or 2-D data");
  if (o.architecture == "pdet_window") return build_pdet_window(space, spec, o);
  if (o.architecture == "pdet_unet") return build_pdet_unet(space, spec, o);
  if (o.architecture == "fno") return build_fno(space, spec, o.fno);
  if (o.architecture == "unet") return build_unet(space, spec, o.unet);
  throw usage_error("operator.architecture_type", "'" + o.architecture + "' is not available yet", "use pdet_window, pdet_unet, fno or unet");
}

}  // namespace ups::stages
