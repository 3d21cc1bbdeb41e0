//! The function of a model card that does to an image what `predict` does: Python with Pillow and
//! numpy alone.
//!
//! Pillow's filters are its own. Those in floats are Pillow's on planes of floats, which it doesn't
//! round either.

use seedpipe_imaging::resized_shorter_side;
use serde_json::Value;

/// What `prepare` is made of, by the preprocessing as JSON.
pub struct Prepare<'preprocessing> {
    preprocessing: &'preprocessing Value,
    size: u64,
    ratio: f64,
    crops_first: bool,
    /// Pillow's, in capitals.
    filter: String,
    rounds: bool,
}

impl<'preprocessing> Prepare<'preprocessing> {
    pub fn of(preprocessing: &'preprocessing Value) -> Self {
        let filter = preprocessing["filter"].as_str().unwrap_or("bilinear");
        let name = filter.strip_prefix("pillow_");
        Self {
            size: preprocessing["size"].as_u64().unwrap_or_default(),
            ratio: preprocessing["crop_ratio"].as_f64().unwrap_or(1.0),
            crops_first: preprocessing["crop"] == "before_resize",
            filter: name.unwrap_or(filter).to_uppercase(),
            rounds: name.is_some(),
            preprocessing,
        }
    }

    fn shorter(&self) -> u32 {
        resized_shorter_side(self.size as u32, self.ratio)
    }

    /// The definition of `prepare(path)`.
    ///
    /// - `normalise`: the network wants it done
    pub fn lines(&self, normalise: bool) -> String {
        let size = self.size;
        let mut lines = vec![
            "def prepare(path):".to_owned(),
            format!("    \"\"\"The image as the network wants it: float32, [3, {size}, {size}].\"\"\""),
            "    image = ImageOps.exif_transpose(Image.open(path))".to_owned(),
            "    if image.mode[0] == \"I\":  # gray of 16 bits".to_owned(),
            "        image = Image.fromarray(((numpy.asarray(image, \"uint32\") + 128) // 257).astype(\"uint8\"))".to_owned(),
            "    image = image.convert(\"RGB\")".to_owned(),
        ];
        lines.extend(self.place());
        let (size, filter) = (self.size, &self.filter);
        let resize = |to: &str| format!(".resize(({to}), Image.Resampling.{filter})");
        let crop = |side: &str| format!(".crop((left, top, left + {side}, top + {side}))");
        let square = format!("{size}, {size}");
        // Pillow 13 goes down before across where an image is tall, which rounds otherwise.
        let in_turn = |across: &str, to: &str| format!("{}{}", resize(across), resize(to));
        let steps = match (self.crops_first, self.rounds) {
            (true, true) => [crop("side"), in_turn(&format!("{size}, side"), &square)],
            (true, false) => [crop("side"), resize(&square)],
            (false, true) => [
                in_turn("wide, height", "wide, tall"),
                crop(&size.to_string()),
            ],
            (false, false) => [resize("wide, tall"), crop(&size.to_string())],
        };
        let [first, then] = steps;
        if self.rounds {
            lines.push(
                "    # Across, then down, in two calls: in one, the order is the version's."
                    .to_owned(),
            );
            lines.push(format!("    image = image{first}"));
            lines.push(format!("    image = image{then}"));
            lines.push(
                "    values = numpy.asarray(image, \"float32\").transpose(2, 0, 1) / 255"
                    .to_owned(),
            );
        } else {
            lines.extend([
                "    planes = []".to_owned(),
                "    for plane in numpy.asarray(image, \"float32\").transpose(2, 0, 1):".to_owned(),
                format!("        plane = Image.fromarray(plane){first}"),
                format!("        planes.append(plane{then})"),
                "    values = numpy.stack(planes).clip(0, 255) / 255".to_owned(),
            ]);
        }
        if normalise {
            let numbers = |name: &str| {
                let numbers = self.preprocessing[name].to_string().replace(',', ", ");
                format!("numpy.array({numbers}, \"float32\").reshape(3, 1, 1)")
            };
            lines.push(format!("    values -= {}", numbers("mean")));
            lines.push(format!("    return values / {}", numbers("std")));
        } else {
            lines.push("    return values".to_owned());
        }
        lines.join("\n")
    }

    /// Which square of the image it is.
    fn place(&self) -> Vec<String> {
        if self.crops_first {
            return vec![
                format!("    side = max(int({} * min(image.size)), 1)", self.ratio),
                "    left, top = ((length - side + 1) // 2 for length in image.size)".to_owned(),
            ];
        }
        let (size, shorter) = (self.size, self.shorter());
        vec![
            "    width, height = image.size".to_owned(),
            format!("    wide = max({shorter} * width // height, {shorter})"),
            format!("    tall = max({shorter} * height // width, {shorter})"),
            format!("    left, top = round((wide - {size}) / 2), round((tall - {size}) / 2)"),
        ]
    }

    /// The same for people.
    pub fn words(&self) -> String {
        let size = self.size;
        let rounded = match self.rounds {
            true => "rounded to 8 bits after each direction, across first, as Pillow does",
            false => "in floats, not rounded",
        };
        let how = format!(
            "by the {} filter with antialias, {rounded}",
            self.filter.to_lowercase()
        );
        if self.crops_first {
            return format!(
                "Crop the central square of {} of the shorter side (rounded down; margins to the left and at the top rounded up), then resize it to {size} × {size} {how}",
                self.ratio
            );
        }
        format!(
            "Resize the shorter side to {} and the longer in proportion (rounded down) {how}; crop the central {size} × {size} (margins rounded to even)",
            self.shorter()
        )
    }
}
