//! Images: decoding, view sampling and rendering; pixels in, pixels out
