//! What the orders point to: products, sellers, and the cities that both sides live in.

use std::io::{self, Write};

use jiff::ToSpan;
use jiff::civil::date;
use rand_xoshiro::Xoshiro256PlusPlus;

use super::super::draw::{Alias, below, chance, normal, unit};
use super::super::folder::Out;
use rand::RngCore;

/// Columns of the products, spelled as published.
#[rustfmt::skip]
pub(super) const PRODUCT_COLUMNS: [&str; 9] = [
    "product_id", "product_category_name", "product_name_lenght", "product_description_lenght", "product_photos_qty",
    "product_weight_g", "product_length_cm", "product_height_cm", "product_width_cm",
];
/// Columns of the places.
#[rustfmt::skip]
pub(super) const GEOLOCATION_COLUMNS: [&str; 5] = [
    "geolocation_zip_code_prefix", "geolocation_lat", "geolocation_lng", "geolocation_city", "geolocation_state",
];

/// Name, its translation (the last has none), and how often it is bought.
#[rustfmt::skip]
pub(super) const CATEGORIES: [(&str, &str, f64); 12] = [
    ("cama_mesa_banho", "bed_bath_table", 111.0), ("beleza_saude", "health_beauty", 97.0), ("esporte_lazer", "sports_leisure", 86.0),
    ("moveis_decoracao", "furniture_decor", 83.0), ("informatica_acessorios", "computers_accessories", 78.0),
    ("utilidades_domesticas", "housewares", 70.0), ("relogios_presentes", "watches_gifts", 60.0), ("telefonia", "telephony", 45.0),
    ("ferramentas_jardim", "garden_tools", 43.0), ("automotivo", "auto", 42.0), ("brinquedos", "toys", 41.0),
    ("pc_gamer", "", 1.0),
];

/// A city with its zip prefixes and its middle.
pub(super) struct City {
    pub(super) name: &'static str,
    pub(super) state: &'static str,
    first_zip: u32,
    latitude: f64,
    longitude: f64,
    buyers: f64,
    sellers: f64,
}

/// Zip prefixes of a city.
const ZIPS: u32 = 12;

impl City {
    /// One of the prefixes.
    pub(super) fn zip(&self, rng: &mut Xoshiro256PlusPlus) -> u32 {
        self.first_zip + below(rng, ZIPS)
    }
}

const fn city(
    name: &'static str,
    state: &'static str,
    first_zip: u32,
    at: (f64, f64),
    people: (f64, f64),
) -> City {
    City { name, state, first_zip, latitude: at.0, longitude: at.1, buyers: people.0, sellers: people.1 }
}

/// Brazil's larger cities; how many buy and sell there are round numbers.
#[rustfmt::skip]
pub(super) const CITIES: [City; 12] = [
    city("sao paulo", "SP", 1001, (-23.55, -46.63), (155.0, 69.0)), city("rio de janeiro", "RJ", 20010, (-22.91, -43.2), (69.0, 10.0)),
    city("belo horizonte", "MG", 30110, (-19.92, -43.94), (28.0, 7.0)), city("brasilia", "DF", 70040, (-15.79, -47.88), (21.0, 3.0)),
    city("curitiba", "PR", 80010, (-25.43, -49.27), (15.0, 13.0)), city("campinas", "SP", 13010, (-22.91, -47.06), (14.0, 4.0)),
    city("porto alegre", "RS", 90010, (-30.03, -51.23), (14.0, 2.0)), city("salvador", "BA", 40010, (-12.97, -38.51), (12.0, 1.0)),
    city("guarulhos", "SP", 7010, (-23.46, -46.53), (12.0, 5.0)), city("ribeirao preto", "SP", 14010, (-21.18, -47.81), (5.0, 5.0)),
    city("manaus", "AM", 69005, (-3.12, -60.02), (2.0, 0.0)), city("ibitinga", "SP", 14940, (-21.76, -48.83), (0.5, 5.0)),
];

/// A product of the market.
pub(super) struct Product {
    pub(super) id: String,
    pub(super) price_cents: u64,
    row: String,
}

/// Products and sellers, and who buys where.
pub(super) struct Market {
    products: Vec<Product>,
    sellers: Vec<(String, String)>,
    pub(super) buyers: Alias,
}

impl Market {
    /// As many products and sellers as so many orders have.
    pub(super) fn new(rng: &mut Xoshiro256PlusPlus, orders: u64) -> Market {
        let categories = Alias::new(&CATEGORIES.map(|category| category.2));
        let homes = Alias::new(&CITIES.map(|city| city.sellers));
        let products = (0..(orders / 3).clamp(30, 50_000)).map(|n| product(rng, &categories, n)).collect();
        let sellers = (0..(orders / 30).clamp(8, 3_000))
            .map(|_| {
                let city = &CITIES[homes.pick(rng)];
                let id = id(rng);
                let row = format!("\"{id}\",\"{:05}\",{},{}", city.zip(rng), city.name, city.state);
                (id, row)
            })
            .collect();
        Market { products, sellers, buyers: Alias::new(&CITIES.map(|city| city.buyers)) }
    }

    /// One of the products, the first ones more often.
    pub(super) fn product(&self, rng: &mut Xoshiro256PlusPlus) -> &Product {
        &self.products[(unit(rng).powi(2) * self.products.len() as f64) as usize]
    }

    /// The id of a seller.
    pub(super) fn seller(&self, rng: &mut Xoshiro256PlusPlus) -> &str {
        &self.sellers[(unit(rng).powi(2) * self.sellers.len() as f64) as usize].0
    }

    /// Writes the four files that do not grow with the orders alone.
    pub(super) fn write(
        &self,
        mut products: Out,
        mut sellers: Out,
        mut geolocation: Out,
        mut translation: Out,
        rng: &mut Xoshiro256PlusPlus,
    ) -> io::Result<()> {
        for product in &self.products {
            writeln!(products, "{}", product.row)?;
        }
        for (_, row) in &self.sellers {
            writeln!(sellers, "{row}")?;
        }
        let translated: Vec<String> = CATEGORIES
            .iter()
            .filter(|category| !category.1.is_empty())
            .map(|category| format!("{},{}", category.0, category.1))
            .collect();
        // The real file has no line end after its last row.
        write!(translation, "{}", translated.join("\r\n"))?;
        for city in &CITIES {
            for zip in 0..ZIPS {
                for _ in 0..10 {
                    let (north, east) = (normal(rng) * 0.05, normal(rng) * 0.05);
                    let accented = city.name == "sao paulo" && chance(rng, 0.2);
                    let row = format!(
                        "\"{:05}\",{:.14},{:.14},{},{}",
                        city.first_zip + zip,
                        city.latitude + north,
                        city.longitude + east,
                        if accented { "são paulo" } else { city.name },
                        city.state
                    );
                    // A quarter of the rows are there twice.
                    for _ in 0..if chance(rng, 0.35) { 2 } else { 1 } {
                        writeln!(geolocation, "{row}")?;
                    }
                }
            }
        }
        for mut out in [products, sellers, geolocation, translation] {
            out.flush()?;
        }
        Ok(())
    }
}

fn product(rng: &mut Xoshiro256PlusPlus, categories: &Alias, number: u64) -> Product {
    let id = id(rng);
    let category = CATEGORIES[categories.pick(rng)].0;
    let price_cents = (9_000.0 * (normal(rng) * 0.9).exp()) as u64 + 500;
    let words =
        format!("{category},{},{},{}", 20 + below(rng, 44), 100 + below(rng, 2_000), 1 + below(rng, 5));
    let size = format!(
        "{},{},{},{}",
        50 + below(rng, 9_000),
        16 + below(rng, 60),
        2 + below(rng, 40),
        11 + below(rng, 40)
    );
    // Two in a hundred are not described, and of a few nobody knows the size.
    let words = if chance(rng, 0.02) { ",,,".to_owned() } else { words };
    let size = if number == 7 { ",,,".to_owned() } else { size };
    Product { row: format!("\"{id}\",{words},{size}"), id, price_cents }
}

/// 32 hexadecimal digits.
pub(super) fn id(rng: &mut Xoshiro256PlusPlus) -> String {
    format!("{:016x}{:016x}", rng.next_u64(), rng.next_u64())
}

/// The time so many seconds after the first day of trade, as the files write it.
pub(super) fn time(seconds: i64) -> String {
    let time = date(2016, 9, 4).at(0, 0, 0, 0).saturating_add(seconds.seconds());
    time.strftime("%Y-%m-%d %H:%M:%S").to_string()
}
