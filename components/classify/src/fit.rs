//! From a picture to what a model takes: its middle, made smaller or larger, as numbers: pure.

use crate::picture::Picture;

/// What a model takes.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub width: usize,
    pub height: usize,
    /// Taken away from each colour, which goes from 0 to 1, and then divided by.
    pub mean: [f32; 3],
    pub deviation: [f32; 3],
}

impl Wanted {
    /// All red, all green, all blue, each row by row: `[1, 3, height, width]`.
    pub fn of(&self, picture: &Picture) -> Vec<f32> {
        let (columns, rows) = self.spans(picture);
        let mut planes = [const { Vec::new() }; 3];
        for row in &rows {
            for column in &columns {
                let colours = mean(picture, row, column);
                for (((plane, colour), mean), deviation) in
                    planes.iter_mut().zip(colours).zip(self.mean).zip(self.deviation)
                {
                    plane.push((colour / 255.0 - mean) / deviation);
                }
            }
        }
        planes.concat()
    }

    /// Which pixels each column and each row stands for. Of a picture of another form, what is past the model's at two
    /// sides is left out.
    fn spans(&self, picture: &Picture) -> (Vec<Span>, Vec<Span>) {
        let (width, height) = (picture.width as f64, picture.height as f64);
        let scale = (width / self.width as f64).min(height / self.height as f64);
        let middle = |length: f64, wanted: usize| spans((length - scale * wanted as f64) / 2.0, scale, wanted);
        (middle(width, self.width), middle(height, self.height))
    }
}

/// Neighbouring pixels and how much of each counts.
#[derive(Debug, PartialEq)]
struct Span {
    first: usize,
    parts: Vec<f32>,
}

/// `count` spans of this length, one after the other.
fn spans(start: f64, length: f64, count: usize) -> Vec<Span> {
    let span = |number: usize| {
        let from = (start + length * number as f64).max(0.0);
        let to = from + length;
        let first = from.floor();
        let pixels = ((to - first).ceil() as usize).max(1);
        let part = |place: usize| {
            let pixel = first + place as f64;
            (to.min(pixel + 1.0) - from.max(pixel)).max(0.0) as f32
        };
        Span { first: first as usize, parts: (0..pixels).map(part).collect() }
    };
    (0..count).map(span).collect()
}

/// The mean colour of a rectangle.
fn mean(picture: &Picture, row: &Span, column: &Span) -> [f32; 3] {
    let (mut sums, mut whole) = ([0.0; 3], 0.0);
    for (line, height) in picture.pixels.chunks(picture.width).skip(row.first).zip(&row.parts) {
        for (pixel, width) in line.iter().skip(column.first).zip(&column.parts) {
            let part = height * width;
            whole += part;
            for (sum, colour) in sums.iter_mut().zip(pixel) {
                *sum += part * f32::from(*colour);
            }
        }
    }
    sums.map(|sum| sum / whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(width: usize, height: usize) -> Wanted {
        Wanted { width, height, mean: [0.0; 3], deviation: [1.0; 3] }
    }

    /// A picture whose red is this.
    fn red(width: usize, shades: &[u8]) -> Picture {
        let pixels: Vec<[u8; 3]> = shades.iter().map(|shade| [*shade, 100, 200]).collect();
        Picture { width, height: pixels.len() / width, pixels }
    }

    fn check(width: usize, shades: &[u8], to: (usize, usize), expected: &[f32]) {
        let numbers = wanted(to.0, to.1).of(&red(width, shades));
        let count = to.0 * to.1;
        assert_eq!(numbers.len(), 3 * count);
        let shown: Vec<f32> = numbers[..count].iter().map(|number| (number * 255.0 * 100.0).round() / 100.0).collect();
        assert_eq!(shown, expected, "{shades:?} to {to:?}");
        for (plane, colour) in [(1, 100.0), (2, 200.0)] {
            let even = numbers[plane * count..][..count].iter().all(|number| (number * 255.0 - colour).abs() < 0.01);
            assert!(even, "{numbers:?}");
        }
    }

    #[test]
    fn the_same_size_stays_as_it_is() {
        check(2, &[1, 2, 3, 4], (2, 2), &[1.0, 2.0, 3.0, 4.0]);
    }

    #[test]
    fn smaller_is_the_mean_of_what_a_pixel_stands_for() {
        check(2, &[0, 10, 20, 30], (1, 1), &[15.0]);
        check(4, &[0, 2, 10, 20, 4, 6, 30, 40], (2, 1), &[3.0, 25.0]);
        check(3, &[0, 90, 30, 0, 90, 30, 0, 90, 30], (2, 2), &[30.0, 50.0, 30.0, 50.0]);
    }

    #[test]
    fn larger_repeats() {
        check(1, &[7], (2, 2), &[7.0; 4]);
        check(2, &[1, 9, 1, 9], (4, 4), &[1.0, 1.0, 9.0, 9.0].repeat(4));
    }

    #[test]
    fn another_form_loses_what_is_past_the_middle() {
        check(4, &[99, 1, 2, 99, 99, 3, 4, 99], (2, 2), &[1.0, 2.0, 3.0, 4.0]);
        check(1, &[99, 5, 99], (1, 1), &[5.0]);
        check(4, &[0, 8, 16, 24], (1, 1), &[12.0]);
    }

    #[test]
    fn numbers_are_as_the_model_was_trained() {
        let wanted = Wanted { mean: [0.5, 0.0, 1.0], deviation: [0.5, 1.0, 2.0], ..wanted(1, 1) };
        let numbers = wanted.of(&Picture { width: 1, height: 1, pixels: vec![[255, 51, 0]] });
        assert_eq!(numbers, [1.0, 0.2, -0.5]);
    }

    #[test]
    fn no_size_leads_anywhere_else() {
        for (width, height) in [(1, 1), (1, 1000), (1000, 1), (7, 13), (997, 3)] {
            let picture = red(width, &vec![50; width * height]);
            for (to_width, to_height) in [(1, 1), (32, 32), (5, 64), (64, 5)] {
                let numbers = wanted(to_width, to_height).of(&picture);
                let even = numbers[..to_width * to_height].iter().all(|number| (number * 255.0 - 50.0).abs() < 0.01);
                assert!(even, "{width} x {height} to {to_width} x {to_height}");
            }
        }
    }
}
