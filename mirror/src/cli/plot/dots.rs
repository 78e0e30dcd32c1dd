//! Dots of braille characters, two by four in each.

/// A canvas of dots.
pub(super) struct Dots {
    columns: usize,
    cells: Vec<u8>,
}

impl Dots {
    /// An empty one of so many characters.
    pub(super) fn new(columns: usize, rows: usize) -> Self {
        Self {
            columns,
            cells: vec![0; columns * rows],
        }
    }

    fn set(&mut self, x: i64, y: i64) {
        // Bits of a braille character's dots, by row and column.
        const BITS: [[u8; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];
        let (Ok(x), Ok(y)) = (usize::try_from(x), usize::try_from(y)) else {
            return;
        };
        if let Some(cell) = self
            .cells
            .get_mut(y / 4 * self.columns + x / 2)
            .filter(|_| x / 2 < self.columns)
        {
            *cell |= BITS[y % 4][x % 2];
        }
    }

    /// Draws a straight line.
    pub(super) fn line(&mut self, (x0, y0): (i64, i64), (x1, y1): (i64, i64)) {
        let steps = (x1 - x0).abs().max((y1 - y0).abs()).max(1);
        for step in 0..=steps {
            let at = |from: i64, to: i64| {
                from + ((to - from) as f64 * step as f64 / steps as f64).round() as i64
            };
            self.set(at(x0, x1), at(y0, y1));
        }
    }

    /// The characters, line by line.
    pub(super) fn lines(&self) -> impl Iterator<Item = String> + '_ {
        // U+2800 plus any byte is a braille character.
        self.cells.chunks(self.columns).map(|row| {
            row.iter()
                .filter_map(|cell| char::from_u32(0x2800 + u32::from(*cell)))
                .collect()
        })
    }
}
